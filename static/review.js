// Review: draw, move and size boxes by mouse, touch and keyboard. Without this file the form still works.
"use strict";

const reviewTexts = textsOf("review-texts");
const SVG = "http://www.w3.org/2000/svg";
const editor = document.getElementById("editor");
const canvas = document.getElementById("canvas");
const form = document.getElementById("decision");
const field = document.getElementById("boxes");
const classes = document.getElementById("class");
const list = document.getElementById("box-list");
const said = document.getElementById("editor-said");
const addButton = document.getElementById("add-box");
const removeButton = document.getElementById("remove-box");
const width = Number(editor.dataset.width);
const height = Number(editor.dataset.height);
const CORNERS = [["x1", "y1"], ["x2", "y1"], ["x1", "y2"], ["x2", "y2"]];

const SAID = JSON.stringify(JSON.parse(editor.dataset.said || "[]")); // boxes as the server has them
field.defaultValue = SAID; // as they are written here, so that the two can be compared
// Coming back, a browser fills in what was typed, not what was drawn: kept here until somebody answers.
const KEPT = `flawsight.boxes ${form.getAttribute("action")} ${form.elements.seen.value}`;
const cameBack = performance.getEntriesByType("navigation")[0].type === "back_forward" || document.wasDiscarded;

let boxes = JSON.parse((cameBack && sessionStorage.getItem(KEPT)) || SAID);
let selected = -1;
let drag = null;

const clamp = (value, low, high) => Math.min(high, Math.max(low, Math.round(value)));
const titleOf = (id) => (id ? [...classes.options].find((option) => option.value === id)?.text ?? id : reviewTexts.noClass);
const isDefect = (option) => option?.dataset.defect === "1";

/** The model's own answer among the classes. */
const modelsOwn = [...classes.options].find((option) => option.value === classes.dataset.model);

/** The class a new box gets: the one chosen, if it is a defect, else the model's; none before a person has said it. */
function classOfNew() {
  if (isDefect(classes.selectedOptions[0])) return classes.value;
  return isDefect(modelsOwn) ? modelsOwn.value : "";
}

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function words(box, index) {
  return filled(reviewTexts.box, {
    number: index + 1, title: titleOf(box.class), left: box.x1, top: box.y1, width: box.x2 - box.x1, height: box.y2 - box.y1,
  });
}

/** Show the boxes as they are now: in the form, over the picture and as figures. */
function draw(focus = false) {
  field.value = JSON.stringify(boxes);
  sessionStorage.setItem(KEPT, field.value);
  drawCanvas(focus);
  removeButton.disabled = selected < 0;
  listBoxes();
}

/** Draw everything over the picture anew: a handful of boxes, so nothing is kept in step by hand. */
function drawCanvas(focus = false) {
  canvas.replaceChildren();
  const scale = width / (canvas.clientWidth || width); // image pixels in a pixel of the screen
  boxes.forEach((box, index) => {
    const group = element("g", {}, canvas);
    const size = { x: box.x1, y: box.y1, width: box.x2 - box.x1, height: box.y2 - box.y1 };
    element("rect", { ...size, class: "halo" }, group);
    const shape = element("rect", {
      ...size, class: index === selected ? "box selected" : "box", tabindex: 0, role: "button",
      "aria-label": words(box, index), "aria-pressed": index === selected, "data-index": index,
    }, group);
    const label = element("text", { x: box.x1, y: Math.max(box.y1 - 4 * scale, 13 * scale), "font-size": 13 * scale }, group);
    label.textContent = index + 1;
    if (index === selected) {
      CORNERS.forEach(([x, y], corner) => {
        element("circle", { cx: box[x], cy: box[y], r: 18 * scale, class: "grip", "data-corner": corner }, group);
        element("circle", { cx: box[x], cy: box[y], r: 5 * scale, class: "dot-grip" }, group);
      });
      if (focus) shape.focus();
    }
  });
}

/** The same boxes as figures: exact, and a way for whoever cannot drag. */
function listBoxes() {
  // Lines are made anew only with their number: otherwise they would vanish under the typing hand.
  if (list.children.length !== boxes.length) list.replaceChildren(...boxes.map((_box, index) => lineOf(index)));
  boxes.forEach((box, index) => {
    const [kind, ...figures] = list.children[index].querySelectorAll("select, input");
    const [none] = kind.options;
    none.hidden = none.disabled = Boolean(box.class); // what was named stays named
    kind.value = box.class;
    for (const figure of figures) figure.value = box[figure.dataset.edge];
  });
}

function lineOf(index) {
  const line = document.createElement("li");
  const kind = document.createElement("select");
  kind.setAttribute("aria-label", filled(reviewTexts.classOf, { number: index + 1 }));
  kind.append(new Option(reviewTexts.chooseDefect, ""));
  for (const option of [...classes.options].filter(isDefect)) kind.append(new Option(option.text, option.value));
  kind.addEventListener("change", () => { boxes[index].class = kind.value; selected = index; draw(); });
  line.append(kind);
  for (const [edge, name] of [["x1", reviewTexts.left], ["y1", reviewTexts.top], ["x2", reviewTexts.right], ["y2", reviewTexts.bottom]]) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "number", min: 0, max: edge[0] === "x" ? width : height });
    input.dataset.edge = edge;
    input.setAttribute("aria-label", filled(reviewTexts.edge, { number: index + 1, edge: name }));
    input.addEventListener("change", () => { change(index, { [edge]: Number(input.value) }); });
    label.append(`${name}, px`, input);
    line.append(label);
  }
  return line;
}

/** Set some edges of a box; it stays inside the picture, a pixel wide at least, edges in order. */
function change(index, edges) {
  const wanted = { ...boxes[index], ...edges };
  const [x1, x2] = [wanted.x1, wanted.x2].map((x) => clamp(x, 0, width)).sort((a, b) => a - b);
  const [y1, y2] = [wanted.y1, wanted.y2].map((y) => clamp(y, 0, height)).sort((a, b) => a - b);
  Object.assign(boxes[index], { x1: Math.min(x1, width - 1), x2: Math.max(x2, x1 + 1), y1: Math.min(y1, height - 1), y2: Math.max(y2, y1 + 1) });
  if (x1 === width) boxes[index].x2 = width;
  if (y1 === height) boxes[index].y2 = height;
  selected = index;
  draw();
}

function move(index, dx, dy, from = boxes[index]) {
  const [w, h] = [from.x2 - from.x1, from.y2 - from.y1];
  const [x, y] = [clamp(from.x1 + dx, 0, width - w), clamp(from.y1 + dy, 0, height - h)];
  change(index, { x1: x, y1: y, x2: x + w, y2: y + h });
}

function add(box) {
  boxes.push({ ...box, class: classOfNew() });
  selected = boxes.length - 1;
  choose("reject");
}

function remove() {
  if (selected < 0) return;
  boxes.splice(selected, 1);
  said.textContent = filled(reviewTexts.removed, { number: selected + 1 });
  selected = Math.min(selected, boxes.length - 1);
  draw(true);
}

function choose(verdict) {
  const radio = form.querySelector(`input[name=verdict][value=${verdict}]`);
  if (!radio || radio.checked) return; // where nothing is defective, nothing can be rejected
  radio.checked = true;
  fitClass(verdict);
}

/** What is no part for this model has no class. */
function needClass() {
  classes.required = !form.querySelector("input[name=verdict][value=unknown]:checked");
}

/**
 * A class that goes with the verdict. A good part may get the likeliest good class of its kind; a defect is only
 * ever that of the model's own answer, else a person has to choose it.
 */
function fitClass(verdict) {
  needClass();
  const fits = (option) => Boolean(option?.value) && (verdict === "unknown" || isDefect(option) === (verdict === "reject"));
  classes.options[0].text = verdict === "reject" ? reviewTexts.chooseDefect : reviewTexts.chooseClass;
  if (fits(classes.selectedOptions[0])) return;
  const good = verdict === "accept" ? [...classes.options].filter(fits) : [];
  const kin = good.find((option) => option.dataset.family === modelsOwn?.dataset.family) ?? good[0];
  classes.value = (fits(modelsOwn) ? modelsOwn : kin)?.value ?? "";
}

function place(event) {
  const area = canvas.getBoundingClientRect();
  return { x: ((event.clientX - area.left) / area.width) * width, y: ((event.clientY - area.top) / area.height) * height };
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || addButton.hidden) return;
  const held = selected;
  if (list.contains(document.activeElement)) document.activeElement.blur(); // enters a figure that is still being typed,
  selected = held; // which selects that figure's box
  const at = place(event);
  const { corner, index } = event.target.dataset;
  if (corner !== undefined) {
    const [x, y] = CORNERS[corner];
    const box = boxes[selected];
    drag = { kind: "corner", fixed: { x: x === "x1" ? box.x2 : box.x1, y: y === "y1" ? box.y2 : box.y1 } };
  } else if (index !== undefined) {
    selected = Number(index);
    drag = { kind: "move", at, from: { ...boxes[selected] } };
    draw(true);
  } else {
    drag = { kind: "new", fixed: at };
  }
  canvas.setPointerCapture(event.pointerId);
  event.preventDefault();
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const at = place(event);
  if (drag.kind === "move") {
    move(selected, at.x - drag.at.x, at.y - drag.at.y, drag.from);
    return;
  }
  if (drag.kind === "new") {
    const far = Math.hypot(at.x - drag.fixed.x, at.y - drag.fixed.y) * (canvas.clientWidth / width);
    if (far < 5) return; // a click is no box
    add({ x1: drag.fixed.x, y1: drag.fixed.y, x2: at.x, y2: at.y });
    drag.kind = "corner";
  }
  change(selected, { x1: drag.fixed.x, y1: drag.fixed.y, x2: at.x, y2: at.y });
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => {
    if (!drag) return;
    if (drag.kind === "new") selected = -1; // a click beside all boxes
    drag = null;
    draw(selected >= 0);
    if (selected >= 0) said.textContent = words(boxes[selected], selected);
  });
}
canvas.addEventListener("focusin", (event) => {
  const index = Number(event.target.dataset.index);
  if (drag || index === selected || Number.isNaN(index)) return;
  selected = index;
  draw(true);
});
canvas.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (selected < 0) return;
  if (event.key === "Delete" || event.key === "Backspace") {
    event.preventDefault();
    remove();
  } else if (steps) {
    event.preventDefault();
    const far = event.altKey ? 1 : Math.max(1, Math.round(width / 100));
    const [dx, dy] = steps.map((step) => step * far);
    const box = boxes[selected];
    if (event.shiftKey) change(selected, { x2: Math.max(box.x1 + 1, box.x2 + dx), y2: Math.max(box.y1 + 1, box.y2 + dy) });
    else move(selected, dx, dy);
    draw(true);
    said.textContent = words(boxes[selected], selected);
  }
});

function addInTheMiddle() {
  if (addButton.hidden) return;
  const [w, h] = [Math.max(1, Math.round(width / 5)), Math.max(1, Math.round(height / 5))];
  const [x1, y1] = [Math.round((width - w) / 2), Math.round((height - h) / 2)];
  add({ x1, y1, x2: x1 + w, y2: y1 + h });
  draw(true);
  said.textContent = filled(reviewTexts.added, { box: words(boxes[selected], selected) });
}
const heat = document.getElementById("editor-heat");
const showHeat = document.getElementById("show-heat");
showHeat.addEventListener("change", () => { heat.hidden = !showHeat.checked; });
addButton.addEventListener("click", addInTheMiddle);
removeButton.addEventListener("click", remove);
document.getElementById("reset-boxes").addEventListener("click", () => {
  boxes = JSON.parse(editor.dataset.boxes || "[]");
  selected = -1;
  draw();
});
field.addEventListener("input", () => { // what was drawn is brought back, see typed.js
  boxes = JSON.parse(field.value || "[]");
  selected = -1;
  draw();
});
document.getElementById("editor-tools").hidden = false;

for (const radio of form.querySelectorAll("input[name=verdict]")) {
  radio.addEventListener("change", () => fitClass(radio.value));
}
classes.addEventListener("change", () => {
  // Boxes of the class before, or of none yet, are of the new one, unless it is none of a defect.
  if (isDefect(classes.selectedOptions[0])) {
    const one = new Set(boxes.map((box) => box.class)).size < 2;
    for (const box of boxes) if (one || !box.class) box.class = classes.value;
    choose("reject");
  } else if (classes.value) {
    choose("accept");
  }
  draw();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    if (list.contains(document.activeElement)) document.activeElement.blur(); // enters a figure that is still being typed
    form.requestSubmit(form.querySelector("button[type=submit]"));
    return;
  }
  const writing = event.target.matches("input:not([type=radio], [type=checkbox]), textarea, select");
  if (!keysOn.checked || writing || event.ctrlKey || event.metaKey || event.altKey) return;
  const follow = (id) => document.getElementById(id)?.click();
  const keys = {
    a: () => choose("accept"), r: () => choose("reject"), b: addInTheMiddle, n: () => follow("after"),
    p: () => follow("before"), h: () => showHeat.click(),
  };
  keys[event.key]?.();
});

// --- what is not filed yet ---------------------------------------------------------------------------------

const refused = form.querySelector(".problem") !== null; // what was sent, and is not filed
const languages = document.querySelector("form.languages");
let filing = false;
let speaking = false; // another language: typed.js takes along what is not filed, if it leads back to this page

function isUnfiled() {
  const chosen = [...form.querySelectorAll("input[type=radio]"), ...classes.options];
  const { rationale } = form.elements;
  return refused || field.value !== SAID || rationale.value !== rationale.defaultValue
    || chosen.some((one) => (one.checked ?? one.selected) !== (one.defaultChecked ?? one.defaultSelected));
}

form.addEventListener("submit", () => { filing = true; });
languages.addEventListener("submit", () => { speaking = new URL(languages.elements.next.value, location).pathname === location.pathname; });
window.addEventListener("beforeunload", (event) => { if (isUnfiled() && !filing && !speaking) event.preventDefault(); });
window.addEventListener("pageshow", (event) => {
  needClass(); // of the verdict that the browser has filled in again
  if (event.persisted) speaking = false;
  if (event.persisted && filing) location.reload();
});

window.addEventListener("resize", () => drawCanvas()); // a phone's keyboard comes up: what is being typed stays
draw();
