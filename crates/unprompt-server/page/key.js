// The API key: asked for when the server asks, kept until the tab is closed.

import { byId } from "./dom.js";

const PLACE = "unprompt-key";
let key = stored();
let asking = null;

function stored() {
  try {
    return sessionStorage.getItem(PLACE);
  } catch {
    return null;
  }
}

/** The headers that carry the key, if there is one. */
export function keyHeaders() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Asks the user for a key, once for all requests that wait for one. False if there will be none. */
export function askForKey() {
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

function ask() {
  const dialog = byId("key");
  const text = byId("key-text");
  byId("key-note").textContent = key
    ? "The key was wrong. It is kept until this tab is closed."
    : "It is kept until this tab is closed.";
  text.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const submit = (event) => {
      event.preventDefault();
      key = text.value;
      try {
        sessionStorage.setItem(PLACE, key);
      } catch {
        // Then it is kept for as long as the page stays.
      }
      dialog.close("given");
    };
    const cancel = () => dialog.close("");
    dialog.returnValue = "";
    dialog.firstElementChild.addEventListener("submit", submit);
    byId("key-cancel").addEventListener("click", cancel);
    dialog.addEventListener(
      "close",
      () => {
        dialog.firstElementChild.removeEventListener("submit", submit);
        byId("key-cancel").removeEventListener("click", cancel);
        text.value = "";
        resolve(dialog.returnValue === "given");
      },
      { once: true },
    );
  });
}
