// All answers as one file.

import { element } from "./dom.js";

const COLUMNS = [
  "path",
  "prompt",
  "source",
  "expected_score",
  "generator",
  "negative_prompt",
  "settings",
  "edited_prompt",
  "preset",
  "embedding",
];

/** One JSON object a line: the server's record, with what the file stored and what was edited. */
export function toJsonLines(entries) {
  return entries.map((entry) => `${JSON.stringify(exported(entry))}\n`).join("");
}

/** A table with a head, as RFC 4180 has it; settings and embedding are JSON. */
export function toCsv(entries) {
  const rows = entries.map((entry) => {
    const { stored = {}, ...record } = exported(entry);
    const { generator, negative_prompt, settings } = stored;
    const all = { ...record, generator, negative_prompt, settings };
    return COLUMNS.map((column) => cell(all[column]));
  });
  return [COLUMNS, ...rows].map((row) => `${row.join(",")}\r\n`).join("");
}

function exported({ record, stored, edited }) {
  return { ...record, ...(stored && { stored }), ...(edited !== undefined && { edited_prompt: edited }) };
}

function cell(value) {
  if (value === undefined || value === null) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Gives a text to the user as a file. */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
