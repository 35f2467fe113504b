// Form of a new lot: shows its plan while it is filled in. Without this file a button shows it.
"use strict";

const PAUSE_MS = 200; // while somebody types
const lotForm = document.getElementById("lot-form");
const lotPlan = document.getElementById("lot-plan");
let planAsked = 0;
let planPause;

/** The plan as the server reads it from the tables. */
async function showPlan() {
  const mine = (planAsked += 1);
  const fields = [...lotForm.elements].filter((field) => /^(size|level|limit_.*)$/.test(field.name));
  const said = new URLSearchParams(fields.map((field) => [field.name, field.value]));
  try {
    const response = await fetch(`${lotPlan.dataset.address}?${said}`);
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (mine === planAsked) lotPlan.replaceChildren(...page.body.childNodes);
  } catch {
    // The server cannot be reached: opening the lot will say so.
  }
}

lotForm.addEventListener("input", () => {
  clearTimeout(planPause);
  planPause = setTimeout(showPlan, PAUSE_MS);
});
document.getElementById("show-plan").hidden = true;
window.addEventListener("pageshow", showPlan); // a browser may have filled the form in again
