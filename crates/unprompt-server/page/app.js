// The page: what comes in, what the server says to it, and the list of both.

import { describe, pictures } from "./api.js";
import { createCard } from "./card.js";
import { byId, complain, say } from "./dom.js";
import { download, toCsv, toJsonLines } from "./export.js";
import { forget, forgetAll, keep, loadHistory, openHistory } from "./history.js";
import { startIntake } from "./intake.js";
import { createQueue } from "./queue.js";
import { startTheme } from "./theme.js";
import { thumbnail } from "./thumbnail.js";

// Every entry of the list in its order, and each one's card.
let entries = [];
const cards = new Map();
let server = null;
let queue = null;

async function start() {
  startTheme();
  const isKept = await openHistory();
  if (!isKept) byId("kept").textContent = "This browser keeps no history: the list is gone with the page.";
  try {
    server = await describe();
  } catch (error) {
    complain(error.message);
    return;
  }
  byId("about").textContent = about(server);
  queue = createQueue({ limits: server.limits, predict, changed, progressed });
  byId("cancel").addEventListener("click", queue.cancel);
  startIntake(take);
  startList();
  const old = await loadHistory();
  show(old.map((entry) => ({ ...entry, state: "done" })));
  document.documentElement.dataset.ready = "true";
}

/** What answers here, in words. */
function about({ preset, clip, classifier, text_encoder }) {
  const labels = clip ?? classifier;
  const texts = text_encoder ? ` Texts are embedded by ${text_encoder}.` : "";
  return `Prompts are predicted by the preset ${preset}; labels come from ${labels}.${texts}`;
}

/** Takes pictures in: their cards go on top of the list. */
function take(found) {
  if (found.length === 0) {
    say("There is no picture in it.");
    return;
  }
  const batch = Date.now();
  const added = found.map(({ file, name }, index) => ({ id: `${batch}-${index}`, batch, index, name, file }));
  queue.add(added);
  show(added);
  for (const entry of added) addThumbnail(entry);
}

async function addThumbnail(entry) {
  entry.thumbnail = await thumbnail(entry.file);
  changed(entry);
}

/** Puts entries on top of the list. */
function show(added) {
  entries = [...added, ...entries];
  const again = (entry) => queue.add([entry]);
  for (const entry of added) cards.set(entry, createCard(entry, { server, again, remove, keep }));
  byId("cards").prepend(...added.map((entry) => cards.get(entry).node));
  count();
}

function count() {
  byId("pictures").hidden = entries.length === 0;
  byId("pictures-title").textContent = entries.length === 1 ? "1 picture" : `${entries.length} pictures`;
  document.body.classList.toggle("has-pictures", entries.length > 0);
}

/** Called by the queue and by thumbnails; an entry that was removed meanwhile has no card. */
function changed(entry) {
  cards.get(entry)?.update();
  if (cards.has(entry) && entry.state === "done") keep(entry);
}

function remove(entry) {
  const { node } = cards.get(entry);
  const next = node.nextElementSibling ?? node.previousElementSibling;
  queue.drop(entry);
  cards.delete(entry);
  entries = entries.filter((other) => other !== entry);
  forget(entry);
  node.remove();
  count();
  say(`${entry.name} is removed.`);
  (next?.querySelector(".name") ?? byId("files")).focus();
}

/** The answers of a few pictures, and what the files of those that carry a prompt say beside it. */
async function predict(batch, request) {
  const records = await pictures("v1/predict", batch, {}, request);
  const answers = records.map((record) => ({ record: kept(record) }));
  const readable = batch.filter((_, index) => records[index].source === "metadata");
  if (readable.length > 0) {
    const stored = await pictures("v1/metadata", readable, {}, request);
    stored.forEach((found, index) => {
      const { path, error, ...rest } = found;
      if (error === undefined) answers[batch.indexOf(readable[index])].stored = rest;
    });
  }
  return answers;
}

/** A record without the embeddings of its members, which nobody here looks at and which are most of its size. */
function kept(record) {
  const members = record.members?.map(({ name, weight, text }) => ({ name, weight, text }));
  return members ? { ...record, members } : record;
}

function progressed({ done, total, seconds, isOver, isCancelled }) {
  byId("work").hidden = Boolean(isOver);
  byId("progress").max = Math.max(1, total);
  byId("progress").value = done;
  if (isCancelled) say(`Cancelled: ${done} of ${total} done.`);
  else if (isOver) say(total === 1 ? "Done." : `All ${total} done.`);
  else if (seconds) say(`The server is busy; it is asked again in ${seconds} s. ${done} of ${total} done.`);
  else say(`${done} of ${total} done …`);
}

function startList() {
  const answered = () => entries.filter((entry) => entry.state === "done");
  byId("export-csv").addEventListener("click", () => {
    download("prompts.csv", "text/csv", toCsv(answered()));
  });
  byId("export-jsonl").addEventListener("click", () => {
    download("prompts.jsonl", "application/x-ndjson", toJsonLines(answered()));
  });
  byId("clear").addEventListener("click", async () => {
    if (!confirm("Take all pictures off the list? What was predicted is forgotten; the files stay as they are.")) return;
    queue.cancel();
    for (const { node } of cards.values()) node.remove();
    cards.clear();
    entries = [];
    await forgetAll();
    count();
    say("The list is empty.");
    byId("files").focus();
  });
}

start();
