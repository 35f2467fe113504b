// What is known about the part: kept as soon as it is changed, and said in one line.
"use strict";

const contextBox = document.getElementById("context");
const contextFields = [...contextBox.querySelectorAll("input")];

/** The fields that say something, as a program sends them beside the image. */
function partContext() {
  return contextFields.filter((field) => field.value.trim()).map((field) => [field.name, field.value.trim()]);
}

function sayContext() {
  document.getElementById("context-now").textContent =
    partContext().map((pair) => pair[1]).join(" · ") || contextBox.dataset.empty;
}

/** Forget the serial number that was `sent`: it belongs to that part, and the next one's may stand there by now. */
function forgetSerial(sent = partContext()) {
  const serial = sent.find(([name]) => name === "serial")?.[1];
  if (serialField.value.trim() !== serial) return;
  serialField.value = "";
  sayContext();
}

contextBox.addEventListener("change", () => {
  sayContext();
  tellLot();
  const body = new FormData();
  for (const [name, value] of partContext()) body.append(name, value);
  body.append("csrf_token", document.querySelector("input[name=csrf_token]").value);
  fetch(contextBox.dataset.keep, { method: "POST", body, keepalive: true }).catch(() => {});
});

// --- whether what is inspected now goes into the lot that is named, and what it is compared with ----------------------------------------

const LOT_EVERY_MS = 10_000; // somebody else may close it while this page is open
const lotNote = document.getElementById("lot-note");
const lotField = contextFields.find((field) => field.name === "lot");
const serialField = contextFields.find((field) => field.name === "serial");
let lotAsked = 0;

async function tellLot() {
  const mine = (lotAsked += 1);
  const fields = ["lot", "part_number", "part_revision"].map((name) => contextFields.find((one) => one.name === name));
  const named = new URLSearchParams(fields.map((field) => [field.name, field.value.trim()]));
  try {
    // Asked by the page, not by a person: it does not keep a session alive.
    const response = await fetch(`${lotNote.dataset.address}?${named}`, { headers: { "X-Flawsight-Watch": "1" } });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (!response.ok || mine !== lotAsked || page.body.innerHTML.trim() === lotNote.innerHTML.trim()) return;
    const focused = lotNote.contains(document.activeElement);
    lotNote.replaceChildren(...page.body.childNodes);
    if (focused) contextBox.querySelector("summary").focus();
  } catch {
    // The server cannot be reached: sending a picture will say so.
  }
}

function watchLot() {
  if (!document.hidden && lotField.value.trim()) tellLot();
}

lotNote.addEventListener("click", (event) => {
  const choice = event.target.closest("button[data-fields]");
  if (!choice) return;
  event.preventDefault(); // without leaving the page, where photos may be chosen already
  const said = JSON.parse(choice.dataset.fields);
  for (const field of contextFields) field.value = said[field.name] ?? field.value;
  contextBox.dispatchEvent(new Event("change"));
});
setInterval(watchLot, LOT_EVERY_MS);
document.addEventListener("visibilitychange", watchLot);
window.addEventListener("pageshow", (event) => { if (event.persisted) watchLot(); });

contextBox.addEventListener("keydown", (event) => {
  // A scanner ends its code with Enter: on to the next field, not off with the form.
  if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
  event.preventDefault();
  const next = contextFields[contextFields.indexOf(event.target) + 1];
  if (next) next.focus();
  else event.target.blur();
});

// Typed before this script was there, or brought back by the browser: it counts as if it were typed now.
if (contextFields.some((field) => field.value !== field.defaultValue)) contextBox.dispatchEvent(new Event("change"));
