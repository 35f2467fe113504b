// Camera: preview, shutter, and one picture after the other by a key.
"use strict";

const cameraTexts = textsOf("camera-texts");
const camera = document.getElementById("camera");
const video = document.getElementById("video");
const shutter = document.getElementById("shutter");
const device = document.getElementById("device");
const flash = document.getElementById("flash");
const problem = document.getElementById("camera-problem");
const continuous = document.getElementById("continuous");
const samePart = document.getElementById("same-part");
const shots = document.getElementById("shots");
const lastPart = document.getElementById("last-part");
const SHOWN_MS = 5_000; // of a verdict over the picture: then the next part may lie there
const TRIGGERS = new Set([" ", "Enter", "PageDown"]);
let stream = null;
let count = 0;
let busy = false;
let fading;

/** Show camera `id`, or at first the one on the back of a phone. */
async function open(id) {
  stream?.getTracks().forEach((track) => track.stop());
  const which = id ? { deviceId: { exact: id } } : { facingMode: "environment" };
  const size = { width: { ideal: 1920 }, height: { ideal: 1080 } };
  stream = await navigator.mediaDevices.getUserMedia({ video: { ...which, ...size }, audio: false });
  video.srcObject = stream;
  const [track] = stream.getVideoTracks();
  track.addEventListener("ended", () => fail(new Error(cameraTexts.unplugged)));
  await video.play();
  shutter.disabled = false;
}

function fail(error) {
  shutter.disabled = true;
  problem.textContent = cameraTexts[error.name] ?? error.message;
  document.getElementById("no-camera").hidden = false;
}

async function start() {
  if (!navigator.mediaDevices) {
    // Browsers lend the camera to this computer's own address and to HTTPS only.
    fail(new Error(cameraTexts.noHttps));
    return;
  }
  document.getElementById("camera-tools").hidden = false;
  try {
    await open();
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
    const current = stream.getVideoTracks()[0].getSettings().deviceId;
    device.replaceChildren(...cameras.map((one, index) =>
      new Option(one.label || filled(cameraTexts.camera, { number: index + 1 }), one.deviceId, false, one.deviceId === current)));
  } catch (error) {
    fail(error);
  }
}

/** Say something over the picture. */
function say(text, verdict = "") {
  clearTimeout(fading);
  flash.className = `flash ${verdict}`;
  flash.textContent = text;
}

/** A verdict over the picture is soon taken for that of the part in view: it stays under the number of its own. */
function judge(answer) {
  const [number, word, found] = lastPart.children;
  Object.assign(number, { href: answer.links.page, textContent: answer.number });
  Object.assign(word, { className: `badge ${answer.verdict}`, textContent: verdictWord(answer) });
  found.textContent = answer.headline;
  lastPart.hidden = false;
  say(`${word.textContent}: ${answer.headline}`, answer.verdict);
  fading = setTimeout(say, SHOWN_MS, "");
}

async function inspect(file, context = partContext()) {
  busy = true;
  shutter.disabled = true;
  problem.textContent = "";
  say(sendTexts.inspecting);
  const line = resultLine(file);
  shots.prepend(line.line);
  document.getElementById("no-shots").hidden = true;
  document.getElementById("shots-table").hidden = false;
  line.working();
  try {
    const answer = await inspectFile(file, camera.dataset.api, undefined, context);
    line.done(answer);
    if (!samePart.checked) forgetSerial(context);
    judge(answer);
    if (!continuous.checked) window.location.assign(answer.links.page);
  } catch (error) {
    line.failed(error);
    say("");
    showProblem(problem, error);
  }
  busy = false;
  shutter.disabled = !stream?.active;
}

/** Take a picture and have it inspected; false where there is nothing to take, or another is on its way. */
function shoot() {
  if (busy || shutter.disabled || !video.videoWidth) return false;
  const still = document.createElement("canvas");
  still.width = video.videoWidth;
  still.height = video.videoHeight;
  still.getContext("2d").drawImage(video, 0, 0);
  count += 1;
  const context = partContext(); // of the part in view; the next one may be scanned any moment
  const name = `camera ${new Date().toTimeString().slice(0, 8).replaceAll(":", ".")} ${count}.png`;
  busy = true;
  still.toBlob((blob) => { inspect(new File([blob], name, { type: "image/png" }), context); }, "image/png");
  return true;
}

shutter.addEventListener("click", shoot);
device.addEventListener("change", () => { open(device.value).catch(fail); });
document.getElementById("snap").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file && !busy) inspect(file);
});
document.addEventListener("keydown", (event) => {
  if (!TRIGGERS.has(event.key) || event.repeat) return;
  if (event.target.matches(`input, select, textarea, summary, a, button:not(#${shutter.id})`)) return; // it has its own use for the key
  // No scrolling before the camera, also where a foot switch is too early, and no second picture by the
  // shutter's own click.
  if (shoot() || stream?.active) event.preventDefault();
});
window.addEventListener("pagehide", () => stream?.getTracks().forEach((track) => track.stop()));
start();
