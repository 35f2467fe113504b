// The viewer of the result page: zoom and pan of the original, layers over it, and what a pixel says.
// Without this file it stays hidden, and the pictures below it are links.
"use strict";

const stage = document.getElementById("stage");
const plane = document.getElementById("plane");
const original = document.getElementById("original");
const heat = document.getElementById("layer-heat");
const readout = document.getElementById("readout");
const opacity = document.getElementById("opacity");
const switches = [...document.querySelectorAll("[data-layer]")];
const WIDTH = Number(stage.dataset.width);
const HEIGHT = Number(stage.dataset.height);
const MOST = 40; // screen pixels for one of the picture
const STEP = 1.25;
const KEPT = "flawsight.layers"; // what was shown of one part is shown of the next
const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const fingers = new Map(); // pointer id: where it is
const offset = { x: 0, y: 0 }; // of the picture's top left corner on the stage
let zoom = 0; // screen pixels for one of the picture
let whole = true; // the picture fills the stage, and goes on doing so when that changes its size

const fitting = () => Math.min(stage.clientWidth / WIDTH, stage.clientHeight / HEIGHT, MOST);
const isZoomed = () => zoom > fitting() * 1.001;
const least = () => Math.min(1, fitting()); // a small picture may also be shown as small as it is
const middle = () => ({ x: stage.clientWidth / 2, y: stage.clientHeight / 2 });

/** Where a picture of `length` pixels may begin on a stage of `room`: whole in the middle, or no gap beyond it. */
function held(start, length, room) {
  const size = length * zoom;
  if (!isZoomed()) return (room - size) / 2;
  return Math.min(room / 2, Math.max(room / 2 - size, start)); // its middle never leaves the picture
}

function show() {
  offset.x = held(offset.x, WIDTH, stage.clientWidth);
  offset.y = held(offset.y, HEIGHT, stage.clientHeight);
  plane.style.width = `${WIDTH * zoom}px`;
  plane.style.height = `${HEIGHT * zoom}px`;
  plane.style.transform = `translate(${offset.x}px, ${offset.y}px)`;
  plane.style.setProperty("--pixel", `${1 / zoom}px`); // a screen pixel in pixels of the picture
  stage.classList.toggle("zoomed", isZoomed());
  stage.classList.toggle("crisp", zoom * devicePixelRatio >= 2);
  document.getElementById("zoom-now").value = `${Math.round(100 * zoom)} %`;
}

function fit() {
  zoom = fitting();
  whole = true;
  show();
}

/** Zoom to `wanted`, keeping the picture's pixel at place `at` of the stage where it is. */
function zoomTo(wanted, at = middle()) {
  const before = zoom;
  zoom = Math.min(MOST, Math.max(least(), wanted));
  whole = false;
  offset.x = at.x - ((at.x - offset.x) / before) * zoom;
  offset.y = at.y - ((at.y - offset.y) / before) * zoom;
  show();
}

function pan(dx, dy) {
  offset.x += dx;
  offset.y += dy;
  show();
}

function place(event) {
  const area = stage.getBoundingClientRect();
  return { x: event.clientX - area.left - stage.clientLeft, y: event.clientY - area.top - stage.clientTop };
}

// --- what a pixel says ------------------------------------------------------------------------------------

/** The pixel of `image` that lies over pixel (x, y) of the original: the layers of a large one are smaller. */
function pixelOf(image, x, y) {
  const column = Math.floor(((x + 0.5) * image.naturalWidth) / WIDTH);
  const row = Math.floor(((y + 0.5) * image.naturalHeight) / HEIGHT);
  probe.clearRect(0, 0, 1, 1);
  probe.drawImage(image, column, row, 1, 1, 0, 0, 1, 1);
  return probe.getImageData(0, 0, 1, 1).data;
}

/** Position, colour and heat of the pixel at place `at` of the stage; empty beside the picture. */
function read(at) {
  const x = Math.floor((at.x - offset.x) / zoom);
  const y = Math.floor((at.y - offset.y) / zoom);
  if (x < 0 || y < 0 || x >= WIDTH || y >= HEIGHT || !original.complete) return "";
  const [red, green, blue] = pixelOf(original, x, y);
  const words = [`x ${x}`, `y ${y}`, `RGB ${red}, ${green}, ${blue}`];
  if (heat.complete && heat.naturalWidth) words.push(`${stage.dataset.heat} ${(pixelOf(heat, x, y)[3] / 255).toFixed(2)}`);
  return words.join(" · ");
}

// --- mouse and fingers ------------------------------------------------------------------------------------

stage.addEventListener("wheel", (event) => {
  // Whoever scrolls past the picture means the page: the wheel zooms when the viewer was chosen.
  if (!event.ctrlKey && !isZoomed() && document.activeElement !== stage) return;
  if (!event.ctrlKey && !isZoomed() && event.deltaY > 0) return; // nothing left to zoom out of
  event.preventDefault();
  const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
  zoomTo(zoom * Math.exp((-event.deltaY * lines * (event.ctrlKey ? 8 : 1)) / 600), place(event)); // Ctrl: a pinched touchpad
}, { passive: false });

stage.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  fingers.set(event.pointerId, place(event));
  if (isZoomed() || fingers.size > 1) stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  const at = place(event);
  readout.textContent = read(at) || readout.textContent;
  const from = fingers.get(event.pointerId);
  if (!from) return;
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  fingers.set(event.pointerId, at);
  if (other) {
    const spread = (one) => Math.max(20, Math.hypot(one.x - other.x, one.y - other.y));
    zoomTo(zoom * (spread(at) / spread(from)), { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 });
    pan((at.x - from.x) / 2, (at.y - from.y) / 2);
  } else {
    pan(at.x - from.x, at.y - from.y);
  }
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
  stage.addEventListener(end, (event) => fingers.delete(event.pointerId));
}
stage.addEventListener("dblclick", (event) => {
  if (isZoomed()) fit();
  else zoomTo(3 * zoom, place(event));
});

// --- buttons, keys, layers --------------------------------------------------------------------------------

stage.addEventListener("keydown", (event) => {
  const way = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (!way || !isZoomed() || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const far = event.shiftKey ? zoom : Math.max(zoom, stage.clientWidth / 10);
  pan(way[0] * far, way[1] * far);
  readout.textContent = read(middle());
  document.getElementById("read-aloud").textContent = readout.textContent;
});
document.getElementById("zoom-in").addEventListener("click", () => zoomTo(zoom * STEP));
document.getElementById("zoom-out").addEventListener("click", () => zoomTo(zoom / STEP));
document.getElementById("zoom-fit").addEventListener("click", fit);

function layer(name) {
  return switches.find((one) => one.dataset.layer === name && !one.disabled);
}

function showLayers() {
  for (const one of switches) document.getElementById(`layer-${one.dataset.layer}`).toggleAttribute("hidden", !one.checked);
  heat.style.opacity = opacity.value / 100;
  document.getElementById("opacity-value").value = `${opacity.value} %`;
}

function keepLayers() {
  showLayers();
  const kept = { opacity: opacity.value };
  for (const one of switches) if (!one.disabled) kept[one.dataset.layer] = one.checked;
  sessionStorage.setItem(KEPT, JSON.stringify({ ...keptLayers(), ...kept }));
}

function keptLayers() {
  return JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
}

for (const input of [...switches, opacity]) input.addEventListener("input", keepLayers);
for (const link of document.querySelectorAll("[data-shows]")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab stays a new tab
    event.preventDefault();
    const wanted = { heatmap: "heat" }[link.dataset.shows] ?? link.dataset.shows;
    for (const one of switches) if (!one.disabled) one.checked = one.dataset.layer === wanted;
    keepLayers();
    stage.focus();
  });
}

const kept = keptLayers();
opacity.value = kept.opacity ?? opacity.value;
for (const one of switches) if (!one.disabled) one.checked = kept[one.dataset.layer] ?? one.checked;
document.getElementById("viewer").hidden = false;
document.getElementById("pictures").classList.add("strip");
stage.style.aspectRatio = `${WIDTH} / ${HEIGHT}`;
showLayers();
fit();
new ResizeObserver(() => (whole ? fit() : zoomTo(zoom))).observe(stage);
