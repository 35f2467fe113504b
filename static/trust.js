// A check that runs: shows how far it is, and the page anew when it has ended, unless something is typed in it.
"use strict";

const EVERY_MS = 700;

/** Whether the page holds what a person has begun, which must not be lost. */
function begun() {
  return ![...document.querySelectorAll("main :is(input:not([type=hidden]), select, textarea)")].every(asDelivered);
}

/** Show what came out, or where to find it. */
function finish(area, said) {
  if (!begun()) {
    location.reload();
    return;
  }
  area.querySelector("progress").hidden = true;
  said.textContent = `${area.dataset.ended} `;
  said.append(Object.assign(document.createElement("a"), { href: "", textContent: area.dataset.anew }));
}

async function follow(area) {
  const bar = area.querySelector("progress"), said = area.querySelector("[role=status]");
  for (let failures = 0; failures < 20;) {
    await new Promise((resolve) => { setTimeout(resolve, EVERY_MS); });
    try {
      const response = await fetch(area.dataset.poll, { headers: { Accept: "application/json" } });
      const { check } = await response.json();
      if (!check.running) {
        finish(area, said);
        return;
      }
      if (check.total) [bar.max, bar.value] = [check.total, check.done];
      said.textContent = [check.phase, check.total ? `${check.done} / ${check.total}` : "…"].filter(Boolean).join(" ");
      failures = 0;
    } catch {
      failures += 1;
    }
  }
  said.textContent = area.dataset.failed;
}

for (const area of document.querySelectorAll("[data-poll]")) follow(area);
