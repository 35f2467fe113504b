// The sliders of a model's page: the server computes, this only fetches what it says.
"use strict";

const sliders = document.getElementById("sliders");
if (sliders) {
  const shown = document.getElementById("point");
  const said = document.getElementById("point-said");
  const apply = document.getElementById("apply");
  const told = (name) => sliders.getAttribute(`data-${name}`); // its field "dataset" hides sliders.dataset
  const ends = { accept: sliders.elements.accept, reject: sliders.elements.reject };
  let latest = 0;
  let waiting;

  // A slider rounds what it is given to its own steps: until it is moved, what it was given holds.
  const moved = (slider) => Math.abs(slider.value - slider.defaultValue) > 0.51 * slider.step;
  const valueOf = (slider) => (moved(slider) ? slider.value : slider.defaultValue);

  const tell = () => {
    for (const [name, slider] of Object.entries(ends)) {
      const words = inPercent(Number(slider.value));
      slider.nextElementSibling.textContent = words;
      slider.setAttribute("aria-valuetext", words);
      if (!apply) continue;
      apply.elements[name].value = valueOf(slider);
      document.getElementById(`apply-${name}`).textContent = words;
    }
  };

  const compute = async () => {
    const mine = (latest += 1);
    try {
      const asked = new URLSearchParams(new FormData(sliders));
      for (const [name, slider] of Object.entries(ends)) asked.set(name, valueOf(slider));
      const response = await fetch(`${told("point")}?${asked}`);
      if (!response.ok) throw new Error(response.status);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (mine !== latest) return; // a newer answer is on its way
      shown.replaceChildren(...page.body.childNodes);
      said.textContent = told("said");
    } catch {
      if (mine === latest) said.textContent = told("failed");
    }
  };

  const follow = (one) => {
    // The two never cross: whichever is moved takes the other along.
    if (one === ends.accept && Number(ends.reject.value) < Number(ends.accept.value)) ends.reject.value = ends.accept.value;
    if (one === ends.reject && Number(ends.accept.value) > Number(ends.reject.value)) ends.accept.value = ends.reject.value;
    tell();
    said.textContent = "";
    clearTimeout(waiting);
    waiting = setTimeout(compute, 150);
  };

  sliders.addEventListener("input", (event) => follow(event.target));
  for (const slider of Object.values(ends)) {
    slider.setAttribute("aria-valuetext", slider.nextElementSibling.textContent);
    if (moved(slider)) follow(slider); // while this script was on its way
  }
}
