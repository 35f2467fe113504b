// Lot page: follows the lot as long as it is open and somebody looks at it.
"use strict";

const EVERY_MS = 4000;
const LOST_AFTER = 3; // failures in a row
const live = document.getElementById("live");
const liveSaid = document.getElementById("live-said");
const FOLLOWS = live.textContent;
let waiting;
let failures = 0;
let asking = false;
let open = true;

/** What a look at the server gives. It is the page that asks: that does not keep a session alive. */
async function look(address, kind) {
  const response = await fetch(address, { headers: { Accept: kind, "X-Flawsight-Watch": "1" } });
  if (!response.ok || response.redirected) throw new Error(String(response.status));
  return kind === "application/json" ? response.json() : response.text();
}

/** Whether a form holds what a person has begun, which must not be lost. */
function begun(section) {
  const fields = [...section.querySelectorAll("input:not([type=hidden]), textarea")];
  return section.hasAttribute("data-refused") || !fields.every(asDelivered);
}

/** Put `fresh` in the place of `section`; whoever was in it with the keyboard stays there. */
function exchange(section, fresh) {
  const here = section.contains(document.activeElement) ? document.activeElement : null;
  section.replaceWith(fresh);
  if (!here) return;
  const same = [...fresh.querySelectorAll(here.tagName)].find((one) =>
    one.id === here.id && one.getAttribute("href") === here.getAttribute("href") && one.getAttribute("aria-label") === here.getAttribute("aria-label"));
  same?.focus({ preventScroll: true });
}

async function refresh() {
  const page = new DOMParser().parseFromString(await look(live.dataset.page, "text/html"), "text/html");
  for (const fresh of page.querySelectorAll("[data-live]")) {
    const section = document.querySelector(`[data-live=${fresh.dataset.live}]`);
    if (section && section.outerHTML !== fresh.outerHTML && !begun(section)) exchange(section, document.adoptNode(fresh));
  }
  document.title = page.title;
  const { said } = page.getElementById("live-said").dataset;
  if (liveSaid.textContent !== said) liveSaid.textContent = said;
}

async function follow() {
  clearTimeout(waiting);
  if (document.hidden || asking || !open) return;
  asking = true;
  try {
    const now = await look(live.dataset.address, "application/json");
    if (now.mark !== live.dataset.mark) {
      await refresh();
      live.dataset.mark = now.mark;
      open = now.open;
    }
    failures = 0;
    live.textContent = FOLLOWS;
  } catch {
    failures += 1;
    if (failures === LOST_AFTER) live.textContent = liveSaid.textContent = live.dataset.lost;
  }
  asking = false;
  live.hidden = !open;
  if (open) waiting = setTimeout(follow, EVERY_MS);
}

live.hidden = false;
waiting = setTimeout(follow, EVERY_MS);
document.addEventListener("visibilitychange", follow);
window.addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
