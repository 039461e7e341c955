// Texts with a number each, the number as a bar too.

import { element } from "./dom.js";

/** A list of `{ text, value, shown }`: `value` of `most` fills the bar, `shown` is the number as read. */
export function bars(rows, most = 1) {
  const list = element("ul", { className: "bars" });
  list.append(...rows.map((row) => bar(row, most)));
  return list;
}

function bar({ text, value, shown }, most) {
  const fill = element("span", { className: "fill" });
  fill.style.width = `${Math.max(0, Math.min(1, value / most)) * 100}%`;
  const track = element("span", { className: "track", ariaHidden: "true" }, fill);
  return element(
    "li",
    {},
    element("span", { className: "text", textContent: text }),
    track,
    element("span", { className: "number", textContent: shown ?? value.toFixed(3) }),
  );
}
