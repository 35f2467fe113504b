// What is known about the part: kept as soon as it is changed, and said in one line.
"use strict";

const contextBox = document.getElementById("context");
const contextFields = [...contextBox.querySelectorAll("input")];

/** The fields that say something, as a program sends them beside the image. */
function partContext() {
  return contextFields.filter((field) => field.value.trim()).map((field) => [field.name, field.value.trim()]);
}

contextBox.addEventListener("change", () => {
  document.getElementById("context-now").textContent =
    partContext().map((pair) => pair[1]).join(" · ") || contextBox.dataset.empty;
  const lot = contextFields.find((field) => field.name === "lot").value.trim().toLowerCase();
  for (const note of document.querySelectorAll("[data-lot]")) note.hidden = note.dataset.lot.toLowerCase() !== lot;
  const body = new FormData();
  for (const [name, value] of partContext()) body.append(name, value);
  body.append("csrf_token", document.querySelector("input[name=csrf_token]").value);
  fetch(contextBox.dataset.keep, { method: "POST", body, keepalive: true }).catch(() => {});
});
contextBox.addEventListener("keydown", (event) => {
  // A scanner ends its code with Enter: on to the next field, not off with the form.
  if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
  event.preventDefault();
  const next = contextFields[contextFields.indexOf(event.target) + 1];
  if (next) next.focus();
  else event.target.blur();
});
