// Copying to the clipboard.

import { element, say } from "./dom.js";

/** Makes a button copy what `text` gives when it is pressed. */
export function copies(button, what, text) {
  const label = button.textContent;
  let timer;
  button.addEventListener("click", async () => {
    const isDone = await copy(text());
    button.textContent = isDone ? "Copied" : "Not copied";
    say(isDone ? `${what} copied.` : "The browser does not let this page copy.");
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = label;
    }, 1500);
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS, anywhere but on this machine, there is no clipboard but the old one.
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const area = element("textarea", { value: text, className: "unseen" });
  document.body.append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return isDone;
}
