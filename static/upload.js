// Start page: preview, drag and drop, paste, progress. Without this file the form still works.
"use strict";

const uploadTexts = textsOf("upload-texts");
const folder = document.getElementById("folder");
const form = document.getElementById("upload");
const input = document.getElementById("file");
const drop = document.getElementById("drop");
const preview = document.getElementById("preview");
const hint = document.getElementById("drop-hint");
const problem = document.getElementById("problem");
const working = document.getElementById("working");
const progress = document.getElementById("progress");
const status = document.getElementById("status");
const button = form.querySelector("button[type=submit]");
let request = null; // which sent the last photo

function complain(message, status) {
  showProblem(problem, { message, status });
}

function showChosen() {
  complain("");
  if (preview.src) URL.revokeObjectURL(preview.src);
  const file = input.files[0];
  preview.hidden = true;
  drop.classList.remove("chosen");
  button.textContent = input.files.length > 1 ? filled(uploadTexts.inspectMany, { count: input.files.length }) : uploadTexts.inspect;
  if (!file) return;
  if (input.files.length > 1) {
    hint.textContent = filled(uploadTexts.photos, { count: input.files.length });
    return;
  }
  hint.textContent = file.name;
  if (file.size > Number(form.dataset.maxBytes)) {
    complain(uploadTexts.tooLarge);
    return;
  }
  preview.onload = () => {
    preview.hidden = false;
    drop.classList.add("chosen");
  };
  preview.src = URL.createObjectURL(file); // a format the browser cannot show simply gets no preview
}

/** Choose `files`; of several, those that are images. */
function take(files) {
  const images = files.length > 1 ? files.filter(looksLikeImage) : files;
  const chosen = new DataTransfer();
  for (const file of images) chosen.items.add(file);
  if (files.length && !images.length) complain(uploadTexts.noImage);
  if (!images.length) return;
  input.files = chosen.files;
  showChosen();
  if (images.length < files.length) {
    hint.textContent += `, ${counted(uploadTexts.leftOut, files.length - images.length)}`;
  }
}

function busy(on, text) {
  working.hidden = !on;
  button.disabled = on;
  status.textContent = text;
}

function upload(event) {
  event.preventDefault();
  if (button.disabled) return; // what was sent before is still on its way
  complain("");
  if (input.files.length > 1) {
    inspectMany([...input.files], form);
    return;
  }
  const file = input.files[0];
  if (file.size > Number(form.dataset.maxBytes)) {
    showChosen();
    return;
  }
  const context = partContext();
  request = new XMLHttpRequest(); // fetch cannot report the progress of an upload
  request.responseType = "json";
  request.upload.onprogress = (step) => {
    if (step.lengthComputable) progress.value = (100 * step.loaded) / step.total;
  };
  request.upload.onload = () => {
    progress.removeAttribute("value");
    status.textContent = sendTexts.inspecting;
  };
  request.onload = () => {
    if (request.status === 201) {
      forgetSerial(context);
      window.location.assign(request.response.links.page);
      return;
    }
    busy(false, "");
    complain(request.response?.detail ?? sendTexts.unreadable, request.status);
  };
  request.onerror = () => {
    busy(false, "");
    complain(sendTexts.unreachable);
  };
  progress.value = 0;
  busy(true, uploadTexts.uploading);
  request.open("POST", form.dataset.api);
  request.send(inspectionForm(file, context));
}

// Files may be let go anywhere: beside the zone the browser would show them in place of the page.
// Text that is dragged goes where it was meant to go.
const carriesFiles = (event) => event.dataTransfer.types.includes("Files");

input.addEventListener("change", showChosen);
form.addEventListener("submit", upload);
document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over"); // out of the window, not into another part of the page
});
document.addEventListener("drop", async (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  drop.classList.remove("over");
  if (!document.querySelector("dialog[open]")) take(await droppedFiles(event.dataTransfer)); // a question comes first
});
document.addEventListener("paste", (event) => {
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", ".");
  const files = [...event.clipboardData.files].filter(looksLikeImage);
  if (!files.length) return; // text goes where it was meant to go
  event.preventDefault();
  // A copied picture has no name of its own.
  take(files.map((file) => (file.name === "image.png" ? new File([file], `${filled(uploadTexts.pasted, { time })}.png`, { type: file.type }) : file)));
});
folder.addEventListener("change", () => take([...folder.files]));
document.getElementById("choose-folder").addEventListener("click", () => folder.click());
document.getElementById("more-ways").hidden = false;
input.multiple = true; // without scripts one at a time is sent
for (const sample of document.querySelectorAll("form[data-busy]")) {
  sample.addEventListener("submit", () => {
    sample.classList.add("busy");
    status.textContent = uploadTexts.sample;
  });
}
busy(false, ""); // also where a browser brings back what it had disabled
// Coming back with the browser's Back button must not show a page that still waits. The first loading ends with the
// same event, as late as its slowest picture: by then a photo may be on its way.
window.addEventListener("pageshow", ({ persisted }) => {
  const sending = running || (request && request.readyState !== XMLHttpRequest.DONE);
  if (persisted && !sending) busy(false, "");
  if (persisted) for (const sample of document.querySelectorAll("form.busy")) sample.classList.remove("busy");
  if (input.files.length && !button.disabled) showChosen(); // chosen before this script was there, or brought back
});
