// Start page: many photos at once. One failure never stops the rest.
"use strict";

const manyTexts = textsOf("many-texts");
const AT_ONCE = 2; // as many as the server works on side by side
const ORDER = ["reject", "review", "unknown", "accept", "failed", "cancelled"];
const LONGEST = 3_500; // signs of an address that every server takes
const batch = document.getElementById("batch");
const batchLines = document.getElementById("batch-lines");
const batchBar = document.getElementById("batch-bar");
const batchSaid = document.getElementById("batch-said");
const batchCancel = document.getElementById("batch-cancel");
const batchAfter = document.getElementById("batch-after");
const batchAgain = document.getElementById("batch-again");
const batchFiled = document.getElementById("batch-filed");
let running = null; // what cancels the photos that are being sent
let photos = []; // of the list: file, line, outcome ("" before there is one) and number, once it is filed
let counts = {}; // of outcomes

/** What is said about every photo of a batch: one serial number makes them pictures of one part, so that is asked. */
async function contextOfMany(files) {
  const said = partContext();
  const serial = serialField.value.trim();
  if (!serial) return said;
  const asking = document.getElementById("one-part");
  const many = { count: files.length, serial };
  document.getElementById("one-part-title").textContent = filled(manyTexts.onePart, many);
  document.getElementById("one-part-yes").textContent = filled(manyTexts.onePartYes, many);
  asking.returnValue = "";
  asking.showModal();
  await new Promise((resolve) => { asking.addEventListener("close", resolve, { once: true }); });
  if (asking.returnValue === "one") return said;
  return asking.returnValue === "each" ? said.filter(([name]) => name !== "serial") : null;
}

async function inspectMany(files, form) {
  const context = await contextOfMany(files);
  if (!context || running) return; // taken back: the photos and the serial number stay; or asked twice
  forgetSerial();
  photos = files.map((file) => ({ file, context, line: resultLine(file), outcome: "", number: "" }));
  counts = { "": photos.length };
  batchLines.replaceChildren(...photos.map((photo) => photo.line.line));
  batchBar.max = photos.length;
  batch.hidden = false;
  batchAgain.onclick = () => send(photos.filter((photo) => photo.outcome === "failed"), form);
  batch.scrollIntoView({ block: "nearest" });
  return send(photos, form);
}

function settle(photo, outcome) {
  counts[photo.outcome] -= 1;
  photo.outcome = outcome;
  counts[outcome] = (counts[outcome] ?? 0) + 1;
}

function tell(text) {
  const parts = ORDER.filter((name) => counts[name]).map((name) => `${counts[name]} ${manyTexts[name === "cancelled" ? "cancelled-count" : name]}`);
  const done = photos.length - counts[""] - (counts.cancelled ?? 0);
  const said = filled(text, { done, all: photos.length });
  batchBar.value = done;
  batchSaid.textContent = parts.length ? `${said}: ${parts.join(", ")}` : said;
}

/** Send `chosen` of the photos. Those on their way are finished even if it is cancelled: the server files them. */
async function send(chosen, form) {
  const button = form.querySelector("button[type=submit]");
  if (button.disabled) return; // a photo is on its way by itself
  const { signal } = (running = new AbortController());
  const progress = () => tell(signal.aborted ? manyTexts.cancelling : manyTexts.progress);
  for (const photo of chosen) {
    settle(photo, "");
    photo.line.waits();
  }
  button.disabled = true;
  batchCancel.hidden = batchCancel.disabled = false;
  batchAfter.hidden = true;
  signal.addEventListener("abort", progress);
  progress();
  const waiting = chosen.values();
  const work = async () => {
    for (const photo of waiting) {
      await inspectOne(photo, form, signal);
      progress();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  running = null;
  button.disabled = false;
  batchCancel.hidden = true;
  tell(signal.aborted ? manyTexts.cancelled : manyTexts.finished);
  showAfter();
  refreshRecent();
}

async function inspectOne(photo, form, signal) {
  try {
    signal.throwIfAborted();
    if (photo.file.size > Number(form.dataset.maxBytes)) throw new Error(manyTexts.tooLarge);
    photo.line.working();
    const answer = await inspectFile(photo.file, form.dataset.api, signal, photo.context);
    photo.number = answer.number;
    photo.line.done(answer);
    settle(photo, answer.verdict);
  } catch (error) {
    const cancelled = error.name === "AbortError";
    if (cancelled) photo.line.cancelled();
    else photo.line.failed(error);
    settle(photo, cancelled ? "cancelled" : "failed");
  }
}

batchCancel.addEventListener("click", () => {
  batchCancel.disabled = true;
  running?.abort();
});
window.addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault(); // what is under way would be lost
});

// --- when all is done -------------------------------------------------------------------------------------

/** Numbers as the filter of the history takes them: INSP-2026-000012..000015,000017. */
function inRuns(numbers) {
  const runs = [];
  for (const number of [...numbers].sort()) {
    const [, series, digits] = number.match(/^(.*-)(\d+)$/);
    const last = runs.at(-1);
    const follows = last?.series === series && last.end.length === digits.length && Number(last.end) + 1 === Number(digits);
    if (follows) last.end = digits;
    else runs.push({ series, start: digits, end: digits });
  }
  return runs.map(({ series, start, end }, index) =>
    (series === runs[index - 1]?.series ? "" : series) + start + (start === end ? "" : `..${end}`)).join(",");
}

function showAfter() {
  const numbers = inRuns(photos.map((photo) => photo.number).filter(Boolean));
  // Scattered among hundreds of others', they would need a longer address than servers take.
  batchFiled.hidden = !numbers || numbers.length > LONGEST;
  for (const link of batchFiled.querySelectorAll("a")) link.href = `${link.dataset.numbers}?numbers=${numbers}`;
  batchAgain.hidden = !counts.failed;
  batchAgain.textContent = counted(manyTexts.again, counts.failed ?? 0);
  batchAfter.hidden = batchFiled.hidden && batchAgain.hidden;
}

async function refreshRecent() {
  const list = document.getElementById("recent-list");
  const response = await fetch(list.dataset.address).catch(() => null);
  if (!response?.ok) return; // as it was; the list above says what was filed
  list.replaceChildren(...new DOMParser().parseFromString(await response.text(), "text/html").body.childNodes);
}

// --- choosing ---------------------------------------------------------------------------------------------

/** The files of a drop, also out of folders, at any depth. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      found.push(await new Promise((resolve, reject) => { entry.file(resolve, reject); }));
      return;
    }
    const reader = entry.createReader();
    for (;;) { // a reader gives a hundred at a time
      const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return found.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
}

const looksLikeImage = (file) => /^image\//.test(file.type) || /\.(png|jpe?g|webp|bmp|tiff?|gif)$/i.test(file.name);
