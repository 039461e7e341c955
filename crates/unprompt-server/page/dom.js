// Elements, made without ever reading a text as HTML.

/** An element with these properties; children are elements, or texts that stay texts. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** The element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Says something to those who hear the page rather than see it; others see it in the same place. */
export function say(text) {
  byId("status").textContent = text;
}

/** Shows what is wrong with the page as a whole. */
export function complain(text) {
  byId("notice").hidden = false;
  byId("notice").textContent = text;
}
