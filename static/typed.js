// A page that is loaded anew, in another language or after its reader had to sign in again, has what was typed into
// its forms filled in again.
"use strict";

/** Whether `field` is as the page itself has it, before anybody touches it; also for other scripts. */
function asDelivered(field) {
  if (field.options) return field.selectedIndex === Math.max(0, [...field.options].findIndex((one) => one.defaultSelected));
  // A slider rounds what it is given to its own steps.
  if (field.type === "range") return Math.abs(field.value - field.defaultValue) <= 0.51 * (field.step || 1);
  if (field.type === "radio" || field.type === "checkbox") return field.checked === field.defaultChecked;
  return field.value === field.defaultValue;
}

{
  const TYPED = "flawsight.typed"; // of this tab only, until the next page of any other kind
  const LEFT_OUT = new Set(["hidden", "file", "password"]); // of which no page may fill in any, or should
  const fields = [...document.querySelectorAll("main :is(input, select, textarea)[name]")].filter(({ type }) => !LEFT_OUT.has(type));
  const held = (field) => (field.type === "radio" || field.type === "checkbox" ? "checked" : "value");
  const { user } = document.currentScript.dataset;
  const refused = document.getElementById("typed-kept"); // on the page that says so to whoever is signed in no more

  /** Keep what is typed; if it was `sent`, it is only needed where it is refused. */
  const keep = (sent) => {
    const typed = fields.map((field) => [field.name, field[held(field)]]);
    sessionStorage.setItem(TYPED, JSON.stringify({ page: location.pathname, user, sent, typed }));
  };
  const kept = JSON.parse(sessionStorage.getItem(TYPED));
  sessionStorage.removeItem(TYPED);
  if (refused && kept) {
    sessionStorage.setItem(TYPED, JSON.stringify({ ...kept, sent: false }));
    refused.hidden = false;
  } else if (!refused) {
    document.querySelector("form.languages")?.addEventListener("submit", () => keep(false));
    document.addEventListener("submit", (event) => {
      const form = event.target;
      if (!event.defaultPrevented && form.getAttribute("method") === "post" && form.closest("main")) keep(true);
    });
  }
  // Whoever uses this tab next finds nothing of it, nor of what was drawn.
  document.querySelector("nav.account form")?.addEventListener("submit", () => sessionStorage.clear());

  // Whoever was faster than this script meant what is there now.
  const changed = fields.filter((field) => !asDelivered(field));
  const left = (field) => changed.some((one) => one === field || (field.type === "radio" && one.name === field.name));
  const again = kept && !kept.sent && kept.page === location.pathname && kept.user === user;
  const typed = again && !refused ? kept.typed : [];
  // Twice, since a page may fit one field to another: what was typed last counts.
  for (const [index, [name, value]] of [...typed.entries(), ...typed.entries()]) {
    const field = fields[index];
    if (field?.name !== name || field[held(field)] === value || left(field)) continue;
    if (field.type === "radio" && !value) continue; // the one that is chosen instead says so
    field[held(field)] = value;
    field.closest("details")?.setAttribute("open", "");
    for (const event of ["input", "change"]) field.dispatchEvent(new Event(event, { bubbles: true }));
  }
}
