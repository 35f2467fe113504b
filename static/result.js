// Result page: opacity of the heat map and enlarged pictures. Without this file every picture is a link.
"use strict";

const heat = document.getElementById("heat");
const slider = document.getElementById("opacity");
const shown = document.getElementById("opacity-value");
const dialog = document.getElementById("enlarged");
const large = document.getElementById("enlarged-image");

function fade() {
  heat.style.opacity = slider.value / 100;
  shown.value = `${slider.value} %`;
}

document.getElementById("opacity-control").hidden = false;
slider.addEventListener("input", fade);
fade(); // a reloaded page keeps the slider where it was

for (const link of document.querySelectorAll("a[data-enlarge]")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab stays a new tab
    event.preventDefault();
    document.getElementById("enlarged-title").textContent = link.dataset.enlarge;
    large.src = link.href;
    large.alt = link.dataset.enlarge;
    large.hidden = false;
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // a click beside the picture
});
