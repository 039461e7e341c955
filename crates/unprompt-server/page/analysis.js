// What a picture shows by labels: the tables of a CLIP where the server has one, else those of its classifier.

import { pictures } from "./api.js";
import { bars } from "./bars.js";
import { element } from "./dom.js";

const LABELS = 10;
const TITLES = { mediums: "Medium", artists: "Artist", movements: "Movement", trendings: "Trending", flavors: "Flavor" };

/** Asks the server for the labels of an entry. */
export async function analyze(entry, server, request) {
  const [place, options] = server.clip
    ? ["v1/interrogate", { mode: "analyze" }]
    : ["v1/classify", { top: LABELS }];
  const [record] = await pictures(place, [entry], options, request);
  if (record.error !== undefined) throw new Error(record.error);
  if (record.tables) return { model: server.clip, tables: record.tables };
  return { model: server.classifier, labels: record.labels.map(({ label, probability }) => ({ label, probability })) };
}

/** Shows them in a panel. */
export function showAnalysis(panel, { model, tables, labels }) {
  panel.replaceChildren(element("h4", { textContent: `What ${model} sees` }));
  if (labels) {
    const rows = labels.map(({ label, probability }) => ({
      text: label,
      value: probability,
      shown: `${(probability * 100).toFixed(1)} %`,
    }));
    panel.append(bars(rows));
    return;
  }
  const grid = element("div", { className: "tables" });
  for (const [name, found] of Object.entries(tables)) {
    // Cosines of labels are close to each other: the bars compare them with the best of the table.
    const most = Math.max(...found.map((row) => row.similarity));
    const rows = found.map(({ label, similarity }) => ({ text: label, value: similarity }));
    grid.append(element("div", {}, element("h5", { textContent: TITLES[name] ?? name }), bars(rows, most)));
  }
  panel.append(grid);
}
