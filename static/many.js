// Start page: many photos at once. One failure never stops the rest.
"use strict";

const manyTexts = textsOf("many-texts");
const AT_ONCE = 2; // as many as the server works on side by side
const ORDER = ["reject", "review", "unknown", "accept", "failed"];
const batch = document.getElementById("batch");
const batchLines = document.getElementById("batch-lines");
const batchBar = document.getElementById("batch-bar");
const batchSaid = document.getElementById("batch-said");
const batchCancel = document.getElementById("batch-cancel");
let running = null;

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
  if (!context) return; // taken back: the photos and the serial number stay
  forgetSerial();
  const titles = JSON.parse(form.dataset.titles);
  const counts = {};
  const stop = new AbortController();
  const lines = files.map((file) => resultLine(file, titles));
  let finished = 0;
  running = stop;
  batchLines.replaceChildren(...lines.map((line) => line.line));
  batchBar.max = files.length;
  batchBar.value = 0;
  batch.hidden = false;
  batchCancel.hidden = false;
  batch.scrollIntoView({ block: "nearest" });

  const tell = (text) => {
    const parts = ORDER.filter((name) => counts[name]).map((name) => `${counts[name]} ${manyTexts[name]}`);
    const said = filled(text, { done: finished, all: files.length });
    batchSaid.textContent = parts.length ? `${said}: ${parts.join(", ")}` : said;
  };
  const count = (name) => {
    counts[name] = (counts[name] ?? 0) + 1;
    finished += 1;
    batchBar.value = finished;
    tell(manyTexts.progress);
  };
  const waiting = files.keys();
  const work = async () => {
    for (const index of waiting) {
      if (stop.signal.aborted) {
        lines[index].cancelled();
        continue;
      }
      lines[index].working();
      try {
        if (files[index].size > Number(form.dataset.maxBytes)) {
          throw new Error(manyTexts.tooLarge);
        }
        const answer = await inspectFile(files[index], form.dataset.api, stop.signal, context);
        lines[index].done(answer);
        count(answer.verdict);
      } catch (error) {
        if (error.name === "AbortError") {
          lines[index].cancelled();
        } else {
          lines[index].failed(error.message);
          count("failed");
        }
      }
    }
  };
  tell(manyTexts.progress);
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  batchCancel.hidden = true;
  running = null;
  tell(stop.signal.aborted ? manyTexts.cancelled : manyTexts.finished);
}

batchCancel.addEventListener("click", () => running?.abort());
window.addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault(); // what is under way would be lost
});

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
