// One picture of the list.

import { analyze, showAnalysis } from "./analysis.js";
import { pictures } from "./api.js";
import { copies } from "./copy.js";
import { details, programName } from "./details.js";
import { byId, element, say } from "./dom.js";
import { startEditor } from "./editor.js";
import { cosine } from "./vectors.js";

const STATES = { waiting: "Waiting", working: "At work", cancelled: "Cancelled", failed: "Failed" };

/**
 * A card for an entry. `server` is what the server was started with; `again`, `remove` and `keep` are called with the
 * entry. The card's `update` shows what has changed about it.
 */
export function createCard(entry, { server, again, remove, keep }) {
  const node = byId("card").content.firstElementChild.cloneNode(true);
  const part = (name) => node.querySelector(`.${name}`);
  const id = `picture-${entry.id}`;
  let isAnswered = false;

  const name = part("name");
  name.id = id;
  name.textContent = entry.name;
  name.title = entry.name;
  node.setAttribute("aria-labelledby", id);
  part("remove").setAttribute("aria-label", `Remove ${entry.name} from the list`);
  part("remove").addEventListener("click", () => remove(entry));
  part("again").addEventListener("click", () => again(entry));

  function update() {
    const image = part("thumbnail").firstElementChild;
    if (entry.thumbnail && !image.src) image.src = entry.thumbnail;
    image.hidden = !entry.thumbnail;
    part("no-preview").hidden = Boolean(entry.thumbnail) || entry.thumbnail === undefined;
    const isDone = entry.state === "done";
    node.dataset.state = isDone ? entry.record.source : entry.state;
    part("failed").hidden = !["failed", "cancelled"].includes(entry.state);
    if (isDone && !isAnswered) showAnswer();
    if (isDone) return;
    part("badge").textContent = STATES[entry.state];
    part("note").textContent = entry.error ?? "";
  }

  function showAnswer() {
    isAnswered = true;
    const { record, stored } = entry;
    const isStored = record.source === "metadata";
    part("badge").textContent = isStored ? "Read from the file" : "Predicted";
    part("note").textContent = isStored ? storedNote(stored) : predictedNote(record);
    warn(record);
    part("prompt").textContent = record.prompt;
    part("prompt").hidden = false;
    if (stored?.negative_prompt) {
      part("negative").lastElementChild.textContent = stored.negative_prompt;
      part("negative").hidden = false;
    }
    part("actions").hidden = false;
    copies(part("copy-prompt"), "Prompt", () => record.prompt);
    copies(part("copy-embedding"), "Embedding", () => JSON.stringify(record.embedding));
    part("copy-embedding").hidden = !record.embedding;
    startEdit();
    startAnalysis();
    startGuess(isStored);
    part("details").append(...details(entry));
  }

  function warn({ metadata_error }) {
    if (!metadata_error) return;
    part("warning").textContent = `The file's own record cannot be read: ${metadata_error}`;
    part("warning").hidden = false;
  }

  function startEdit() {
    const [button, panel] = [part("edit"), part("editor")];
    let isStarted = false;
    unfolds(button, panel, () => {
      if (!isStarted) startEditor(panel, id, entry, { missing: server.text_encoder_missing, edited });
      isStarted = true;
      panel.querySelector("textarea").focus();
    });
  }

  function edited(text) {
    entry.edited = text;
    keep(entry);
  }

  function startAnalysis() {
    const [button, panel] = [part("analyze"), part("analysis")];
    // The picture itself is not kept: what was not analyzed before the page was left cannot be any more.
    button.hidden = !entry.file && !entry.analysis;
    let control = null;
    unfolds(button, panel, async () => {
      if (entry.analysis) return showAnalysis(panel, entry.analysis);
      control = new AbortController();
      const stop = element("button", { type: "button", textContent: "Cancel" });
      stop.addEventListener("click", () => control.abort());
      panel.replaceChildren(element("p", { textContent: "Looking at it …" }), stop);
      try {
        entry.analysis = await analyze(entry, server, { signal: control.signal });
        keep(entry);
        showAnalysis(panel, entry.analysis);
        say(`${entry.name} is analyzed.`);
      } catch (error) {
        const words = error.name === "AbortError" ? "Cancelled." : error.message;
        panel.replaceChildren(element("p", { textContent: words }));
        say(words);
      }
    });
  }

  /** For a picture whose prompt was read: what would have been predicted. */
  function startGuess(isStored) {
    const [button, panel] = [part("predict"), part("guess")];
    button.hidden = !isStored || !entry.file || Boolean(entry.guess);
    if (entry.guess) showGuess(panel, entry.guess);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const [record] = await pictures("v1/predict", [entry], { metadata: false });
        if (record.error !== undefined) throw new Error(record.error);
        entry.guess = { prompt: record.prompt, preset: record.preset };
        const near = cosine(record.embedding, entry.record.embedding);
        if (near !== null) entry.guess.similarity = near;
        keep(entry);
        showGuess(panel, entry.guess);
        button.hidden = true;
        say(`Predicted for ${entry.name}: ${record.prompt}`);
        name.focus();
      } catch (error) {
        button.disabled = false;
        say(error.message);
      }
    });
  }

  update();
  return { node, update };
}

function unfolds(button, panel, open) {
  button.addEventListener("click", () => {
    const isOpen = panel.hidden;
    panel.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) open();
  });
}

function storedNote(stored) {
  return stored?.generator ? `written by ${programName(stored.generator)}` : "";
}

function predictedNote({ preset, expected_score }) {
  const by = `by ${preset}`;
  if (expected_score === undefined) return by;
  return `${by}, expected similarity to the true prompt ${expected_score.toFixed(2)}`;
}

function showGuess(panel, { prompt, preset, similarity }) {
  const near = similarity === undefined ? "" : `, similarity to the stored prompt ${similarity.toFixed(3)}`;
  panel.replaceChildren(
    element("h4", { textContent: "What would have been predicted" }),
    element("p", { className: "prompt guessed", textContent: prompt }),
    element("p", { className: "small", textContent: `by ${preset}${near}` }),
  );
  panel.hidden = false;
}
