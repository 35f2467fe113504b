// Sending pictures to be inspected: one at a time, with patience, and many with a list.
"use strict";

const sendTexts = textsOf("send-texts");
const TRIES = 6; // a busy server says when to come again

/** What is sent with a file: the part, as `context` says it, and the product on the bench. */
function inspectionForm(file, context = partContext()) {
  const body = new FormData();
  body.append("file", file, file.name);
  for (const [name, value] of context) body.append(name, value);
  const product = document.getElementById("product");
  if (product) body.append("product", product.value);
  return body;
}

/** Say in `place` what went wrong. Whoever has to sign in does it in another tab: the chosen photos stay in this one. */
function showProblem(place, { message, status }) {
  place.textContent = message;
  if (status === 401) place.append(" ", make("a", { href: sendTexts.signInPage, target: "_blank", textContent: sendTexts.signIn }));
}

/**
 * The inspection of a file as JSON. Throws an Error whose message is for people, with the status of the answer.
 * `signal` ends the waiting for a busy server; what was sent is waited for, since it is filed.
 */
async function inspectFile(file, address, signal, context = partContext()) {
  for (let left = TRIES; ; left -= 1) {
    const body = inspectionForm(file, context);
    let response;
    try {
      response = await fetch(address, { method: "POST", body });
    } catch {
      throw new Error(sendTexts.unreachable);
    }
    const answer = await response.json().catch(() => null);
    if (response.status === 201 && answer) return answer;
    if (response.status !== 503 || left <= 1 || !response.headers.has("Retry-After")) {
      throw Object.assign(new Error(answer?.detail ?? sendTexts.unreadable), { status: response.status });
    }
    const seconds = Math.min(30, Number(response.headers.get("Retry-After")) || 1);
    await new Promise((resolve) => {
      setTimeout(resolve, 1000 * seconds);
      signal?.addEventListener("abort", resolve);
    });
    signal?.throwIfAborted();
  }
}

/** The verdict of an inspection as its product calls it, else as all do; a product's words are filed in English. */
function verdictWord(answer) {
  const own = document.documentElement.lang === "en" && answer.method?.product?.wording?.[answer.verdict];
  if (own) return own.toUpperCase();
  const named = answer.method?.product?.task === "identify";
  return (named && sendTexts[`named-${answer.verdict}`]) || sendTexts[answer.verdict];
}

function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A line of the list of results; `line.done(...)` and the like fill it in. */
function resultLine(file) {
  const verdict = make("td", {}, make("span", { className: "fine", textContent: sendTexts.waits }));
  const said = make("td");
  const name = make("th", { scope: "row" }, make("span", { className: "file-name", textContent: file.name, title: file.name }));
  const line = make("tr", {}, name, verdict, said);
  const tell = (text, className) => verdict.replaceChildren(make("span", { className, textContent: text }));
  return {
    line,
    working() { tell(sendTexts.working, "fine"); },
    cancelled() { tell(sendTexts.cancelled, "fine"); },
    failed(error) { tell(sendTexts.failed, "badge failed"); showProblem(said, error); },
    waits() { tell(sendTexts.waits, "fine"); said.replaceChildren(); },
    done(answer) {
      name.prepend(make("img", { src: answer.links.thumbnail, alt: "", width: 40, height: 40, loading: "lazy" }));
      tell(verdictWord(answer), `badge ${answer.verdict}`);
      said.replaceChildren(make("a", { href: answer.links.page, textContent: answer.number }), ` ${answer.headline}`);
      let warnings = answer.quality?.warnings ?? []; // filed in English
      if (warnings.length && document.documentElement.lang !== "en") warnings = [sendTexts.mind];
      for (const warning of warnings) said.append(make("span", { className: "warning", textContent: warning }));
    },
  };
}
