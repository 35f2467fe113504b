// The switch of single keys, the same on every page that has them: what is dictated to a computer
// presses keys as well (WCAG 2.1.4). Keys with Ctrl, and those of the part that has the focus, always work.
"use strict";

const keysOn = document.getElementById("keys-on");
const KEYS_KEPT = "flawsight.keys";

function showKeys() {
  keysOn.checked = localStorage.getItem(KEYS_KEPT) !== "off";
}

showKeys();
keysOn.closest("label").hidden = false;
keysOn.addEventListener("change", () => localStorage.setItem(KEYS_KEPT, keysOn.checked ? "on" : "off"));
// It may have been changed on another page: before one came back to this one, or in another tab.
window.addEventListener("pageshow", showKeys);
window.addEventListener("storage", showKeys);
