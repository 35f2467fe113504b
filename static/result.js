// Result page: keys, help, and heat maps of other classes and methods. The viewer is in viewer.js.
"use strict";

const why = document.getElementById("why");
const whyClass = document.getElementById("why-class");
const whySaid = document.getElementById("why-said");
const methods = document.getElementById("methods");
const othersButton = document.getElementById("others"); // only where they can be had
const help = document.getElementById("help");
const FILED = heat.src; // the heat map as inspected
const MS = (map) => `${Math.max(1, Math.round(map.took_ms))} ms`;

let asking = new AbortController();
let layers = []; // addresses of the pictures that were made for the list of methods

// --- other classes and methods ----------------------------------------------------------------------------

/** What the server computes, or null if something else was asked for meanwhile. */
async function explanation(address, waiting) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  whySaid.textContent = waiting;
  why.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(address, { signal });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail);
    return answer;
  } catch (error) {
    if (error.name === "AbortError") return null;
    whySaid.textContent = error instanceof TypeError ? why.dataset.lost : error.message;
    return null;
  } finally {
    if (!signal.aborted) why.removeAttribute("aria-busy");
  }
}

function blobOf(map) {
  const bytes = Uint8Array.from(atob(map.layer), (sign) => sign.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  layers.push(address);
  return address;
}

function showMap(address, said) {
  heat.src = address;
  whySaid.textContent = said;
  const shown = layer("heat");
  if (!shown.checked) shown.click();
}

/** One line a method; `first` is shown. */
function listMethods(lines) {
  methods.querySelectorAll("label").forEach((line) => line.remove());
  lines.forEach(({ title, took, address, said }, index) => {
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "method", checked: index === 0 });
    radio.addEventListener("change", () => showMap(address, said));
    const time = Object.assign(document.createElement("span"), { className: "fine", textContent: took });
    const line = Object.assign(document.createElement("label"), { className: "choice" });
    line.append(radio, ` ${title} `, time);
    methods.append(line);
  });
  methods.hidden = false;
}

function forget() {
  methods.hidden = true;
  layers.forEach((address) => URL.revokeObjectURL(address));
  layers = [];
}

whyClass.addEventListener("change", async () => {
  if (!whyClass.value) {
    asking.abort();
    why.removeAttribute("aria-busy");
    forget();
    showMap(FILED, why.dataset.filed);
    return;
  }
  const answer = await explanation(why.dataset.address.replace("CLASS", encodeURIComponent(whyClass.value)), why.dataset.computing);
  if (!answer) return;
  forget();
  const [map] = answer.maps;
  showMap(blobOf(map), `${map.title} (${MS(map)}). ${map.said} ${answer.note}`);
});

othersButton?.addEventListener("click", async () => {
  const wanted = whyClass.value || whyClass.selectedOptions[0].dataset.class;
  const before = { title: why.dataset.own, took: "", address: heat.src, said: whySaid.textContent };
  othersButton.disabled = true;
  const answer = await explanation(why.dataset.others.replace("CLASS", encodeURIComponent(wanted)), why.dataset.patience);
  othersButton.disabled = false;
  if (!answer) return;
  const lines = answer.maps.map((map) => ({
    title: map.title, took: MS(map), address: blobOf(map), said: `${map.title} (${MS(map)}). ${map.said} ${answer.note}`,
  }));
  listMethods([before, ...lines]);
  showMap(before.address, before.said);
});

// --- keys and help ----------------------------------------------------------------------------------------

const press = (id) => () => document.getElementById(id)?.click();
const KEYS = {
  "+": press("zoom-in"), "=": press("zoom-in"), "-": press("zoom-out"), 0: press("zoom-fit"),
  1: () => zoomTo(1), n: press("after"), p: press("before"), a: press("accept"), r: press("reject"),
  c: () => whyClass.focus(), "?": () => help.showModal(),
};
for (const one of switches) if (!one.disabled) KEYS[one.dataset.key] = () => one.click();

document.addEventListener("keydown", (event) => {
  const writing = event.target.matches("input:not([type=radio], [type=checkbox], [type=range]), textarea, select");
  if (writing || help.open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!keysOn.checked && event.target !== stage) return; // on the picture itself they always work
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.getElementById("help-open").addEventListener("click", () => help.showModal());
help.addEventListener("click", (event) => {
  if (event.target === help) help.close(); // a click beside the dialog
});
