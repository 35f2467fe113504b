// Which product is on the bench: kept as soon as it is chosen.
"use strict";

document.getElementById("product").addEventListener("change", (event) => {
  const body = new FormData();
  body.append("product", event.target.value);
  body.append("csrf_token", document.querySelector("input[name=csrf_token]").value);
  fetch(event.target.parentElement.dataset.keep, { method: "POST", body, keepalive: true }).catch(() => {});
});
