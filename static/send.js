// Sending pictures to be inspected: one at a time, with patience, and many with a list.
"use strict";

const TRIES = 6; // a busy server says when to come again

/** The inspection of a file as JSON. Throws an Error whose message is for people. */
async function inspectFile(file, address, signal) {
  for (let left = TRIES; ; left -= 1) {
    const body = new FormData();
    body.append("file", file, file.name);
    for (const [name, value] of partContext()) body.append(name, value);
    let response;
    try {
      response = await fetch(address, { method: "POST", body, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server cannot be reached. Check that Flawsight is still running.");
    }
    const answer = await response.json().catch(() => null);
    if (response.status === 201 && answer) return answer;
    if (response.status !== 503 || left <= 1 || !response.headers.has("Retry-After")) {
      throw new Error(answer?.detail ?? "The server gave no answer that can be read.");
    }
    const seconds = Math.min(30, Number(response.headers.get("Retry-After")) || 1);
    await new Promise((resolve) => { setTimeout(resolve, 1000 * seconds); });
    signal?.throwIfAborted();
  }
}

function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A line of the list of results; `line.show(...)` fills it in. */
function resultLine(file, titles) {
  const verdict = make("td", {}, make("span", { className: "fine", textContent: "waits" }));
  const said = make("td");
  const line = make("tr", {}, make("th", { scope: "row", textContent: file.name }), verdict, said);
  const tell = (text, className) => verdict.replaceChildren(make("span", { className, textContent: text }));
  return {
    line,
    working() { tell("inspecting…", "fine"); },
    cancelled() { tell("cancelled", "fine"); },
    failed(message) { tell("FAILED", "badge failed"); said.textContent = message; },
    done(answer) {
      tell(answer.verdict.toUpperCase(), `badge ${answer.verdict}`);
      const title = titles[answer.predicted_class] ?? answer.predicted_class;
      const sure = `${(100 * answer.confidence).toFixed(1)} %`;
      said.replaceChildren(make("a", { href: answer.links.page, textContent: answer.number }), ` ${title}, ${sure}`);
      for (const warning of answer.quality?.warnings ?? []) said.append(make("span", { className: "warning", textContent: warning }));
    },
  };
}
