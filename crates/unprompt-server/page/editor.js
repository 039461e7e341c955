// Editing a prompt, with its similarity to the answer while one types.

import { embedTexts } from "./api.js";
import { bars } from "./bars.js";
import { copies } from "./copy.js";
import { cosine } from "./vectors.js";

const PAUSE_MS = 250;

/**
 * Starts the editor of a card. `missing` says why this server embeds no texts, if it does not; `edited(text)` is told
 * of each change, undefined for the original.
 */
export function startEditor(panel, id, entry, { missing, edited }) {
  const [text, similarity, note] = ["textarea", ".similarity", ".editor-note"].map((part) => panel.querySelector(part));
  const label = panel.querySelector("label");
  const isStored = entry.record.source === "metadata";
  let [timer, control, original] = [undefined, null, null];

  text.id = `${id}-text`;
  label.htmlFor = text.id;
  label.textContent = "Your prompt";
  text.value = entry.edited ?? entry.record.prompt;
  copies(panel.querySelector(".copy-edited"), "Your prompt", () => text.value);
  panel.querySelector(".reset").addEventListener("click", () => {
    text.value = entry.record.prompt;
    changed();
    text.focus();
  });
  text.addEventListener("input", changed);

  function changed() {
    edited(text.value === entry.record.prompt ? undefined : text.value);
    clearTimeout(timer);
    timer = setTimeout(measure, PAUSE_MS);
  }

  async function measure() {
    control?.abort();
    const reason = missing ?? (entry.record.embedding ? null : "the server gave this picture no embedding");
    if (reason) {
      note.textContent = `No similarity is shown: ${reason}.`;
      return;
    }
    if (text.value.trim() === "") {
      similarity.replaceChildren();
      note.textContent = "Type something to see its similarity.";
      return;
    }
    control = new AbortController();
    try {
      await show(control.signal);
    } catch (error) {
      if (error.name !== "AbortError") note.textContent = error.message;
    }
  }

  async function show(signal) {
    // The original's own is asked once, with the first.
    const texts = original === null ? [text.value, entry.record.prompt] : [text.value];
    const vectors = await embedTexts(texts, { signal });
    const near = vectors.map((vector) => cosine(vector, entry.record.embedding));
    if (near.includes(null)) {
      note.textContent = "No similarity is shown: this server embeds texts in another space than its predictions.";
      return;
    }
    original ??= near[1];
    similarity.replaceChildren(
      bars([
        { text: "Yours", value: near[0] },
        { text: isStored ? "As stored" : "As predicted", value: original },
      ]),
    );
    const to = isStored ? "the stored prompt" : "the prediction";
    note.textContent = `Similarity to ${to}: ${near[0].toFixed(3)} (cosine; 1 is the same).`;
  }

  measure();
}
