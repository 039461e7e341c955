// What stands behind an answer: a file's settings, or the prompts and members of a prediction.

import { bars } from "./bars.js";
import { element } from "./dom.js";

const PROGRAMS = {
  a1111: "AUTOMATIC1111",
  comfyui: "ComfyUI",
  novelai: "NovelAI",
  invokeai: "InvokeAI",
  fooocus: "Fooocus",
  swarmui: "SwarmUI",
  easydiffusion: "Easy Diffusion",
  drawthings: "Draw Things",
  midjourney: "Midjourney",
  ruinedfooocus: "RuinedFooocus",
  mochidiffusion: "Mochi Diffusion",
  unprompt: "Unprompt",
};

/** What people call the program that a file's record names. */
export function programName(generator) {
  return PROGRAMS[generator] ?? generator;
}

/** All that there is to unfold about an answer. */
export function details({ record, stored }) {
  const parts = [];
  if (stored && Object.keys(stored.settings ?? {}).length > 0) parts.push(settings(stored.settings));
  if (record.evidence?.length > 0) parts.push(evidence(record));
  if (record.members?.length > 0) parts.push(members(record));
  return parts;
}

function unfolding(title, ...content) {
  return element("details", {}, element("summary", { textContent: title }), ...content);
}

function settings(all) {
  const rows = Object.entries(all);
  const list = element("dl");
  for (const [name, value] of rows) {
    const shown = typeof value === "object" ? JSON.stringify(value, null, 1) : String(value);
    list.append(
      element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: shown })),
    );
  }
  return unfolding(`Settings (${rows.length})`, list);
}

function evidence({ evidence: found, members: all }) {
  const content = searches(found).flatMap((search) => {
    // A member that searched has the first of what it found as its text.
    const member = all.find((one) => one.text === search[0].prompt);
    const rows = search.map(({ prompt, similarity }) => ({ text: prompt, value: similarity }));
    const title = member && element("h4", { textContent: `Found by ${member.name}` });
    return title ? [title, bars(rows)] : [bars(rows)];
  });
  return unfolding(`Nearest real prompts (${found.length})`, ...content);
}

/** A search gives the nearest first: where a similarity is larger than the one before, another search begins. */
function searches(found) {
  const all = [];
  for (const [index, one] of found.entries()) {
    if (index === 0 || one.similarity > found[index - 1].similarity) all.push([]);
    all.at(-1).push(one);
  }
  return all;
}

function members({ members: all, preset }) {
  const most = Math.max(...all.map((member) => member.weight));
  const rows = all.map(({ name, weight, text }) => ({
    text: text ? `${name}: ${text}` : name,
    value: weight,
    shown: `× ${weight}`,
  }));
  const note = element("p", {
    className: "small",
    textContent: `The preset ${preset} blends these, by their weights. Members without a text give an embedding only.`,
  });
  return unfolding(`Members of the prediction (${all.length})`, note, bars(rows, most));
}
