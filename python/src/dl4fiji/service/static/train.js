// Shows training patches before the training starts. All texts are set as text, never as HTML.
"use strict";

const form = document.getElementById("training");
const button = document.getElementById("preview");
const status = document.getElementById("preview-status");
const figure = document.getElementById("preview-figure");
let newest = 0;

function tell(sentences, bad) {
  status.replaceChildren(
    ...sentences.map((sentence) => {
      const line = document.createElement("p");
      line.textContent = sentence;
      return line;
    })
  );
  status.className = bad ? "note bad" : "";
}

async function preview() {
  const mine = ++newest;
  button.setAttribute("aria-busy", "true");
  tell(["Drawing training patches…"], false);
  try {
    const response = await fetch("/train/preview", { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const answer = await response.json();
    if (mine !== newest) return;
    figure.hidden = !response.ok;
    if (!response.ok) {
      tell(answer.problems && answer.problems.length ? answer.problems : [answer.detail], true);
      return;
    }
    const picture = figure.querySelector("img");
    picture.src = `/api/v1/previews/${encodeURIComponent(answer.id)}`;
    picture.alt = answer.text;
    await picture.decode();
    figure.querySelector("figcaption").textContent = answer.text;
    tell(answer.warnings, false);
  } catch {
    if (mine !== newest) return;
    figure.hidden = true;
    tell(["The service does not answer: start it again by dl4fiji service start."], true);
  } finally {
    if (mine === newest) button.removeAttribute("aria-busy");
  }
}

button.addEventListener("click", preview);
button.hidden = false;
