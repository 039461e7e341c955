// Sends pictures one after the other and shows what comes back.
"use strict";

const files = document.getElementById("files");
const status = document.getElementById("status");
const results = document.getElementById("results");
const waiting = [];
let isWorking = false;

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

function add(list) {
  for (const file of list) {
    const item = document.createElement("li");
    const image = document.createElement("img");
    image.alt = "";
    image.src = URL.createObjectURL(file);
    image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
    item.append(image);
    const words = element("div", "", item);
    element("h2", file.name, words);
    const note = element("p", "waiting", words);
    results.append(item);
    waiting.push({ file, words, note });
  }
  work();
}

async function work() {
  if (isWorking) return;
  isWorking = true;
  while (waiting.length > 0) {
    status.textContent = `${waiting.length} to do`;
    const { file, words, note } = waiting.shift();
    note.textContent = "at work";
    try {
      show(await ask(file), words, note);
    } catch (error) {
      note.textContent = error.message;
      note.className = "error";
    }
  }
  status.textContent = "";
  isWorking = false;
}

async function ask(file) {
  const body = new FormData();
  body.append("image", file);
  for (;;) {
    const response = await fetch("v1/predict", { method: "POST", body });
    if (response.status === 429) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      continue;
    }
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer.records[0];
  }
}

function show(record, words, note) {
  const isStored = record.source === "metadata";
  note.textContent = isStored ? "stored in the file" : `predicted by ${record.preset}`;
  note.className = record.source;
  element("p", record.prompt, words).className = "prompt";
  const copy = element("button", "Copy", words);
  copy.type = "button";
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(record.prompt);
    copy.textContent = "Copied";
  });
}

files.addEventListener("change", () => {
  add(files.files);
  files.value = "";
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  add(event.dataTransfer.files);
});
