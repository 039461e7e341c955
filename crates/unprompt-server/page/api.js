// Requests to the server, and what they have in common: the key, waiting where it is busy, errors.

import { askForKey, keyHeaders } from "./key.js";

/** What the server answered in place of what was asked for. */
export class ServerError extends Error {
  constructor(message, kind) {
    super(message);
    this.kind = kind;
  }
}

// With credentials a browser answers our server's 401 by a window of its own, before the page can ask. Where another
// server stands in front, with a password or a cookie, its credentials are needed: then this becomes "same-origin".
let credentials = "omit";

/** What the server was started with: `/page/server.json`. */
export async function describe() {
  try {
    return await ask("page/server.json");
  } catch (error) {
    if (error.kind !== "foreign") throw error;
    credentials = "same-origin";
    return ask("page/server.json");
  }
}

/** One record for each entry, a `file` with a `name`, in their order; one that failed has an `error`. */
export async function pictures(place, entries, options, request) {
  const body = new FormData();
  for (const { file, name } of entries) body.append("image", file, name);
  for (const [name, value] of Object.entries(options)) body.append(name, String(value));
  return (await ask(place, { ...request, body })).records;
}

/** The embedding of each text. */
export async function embedTexts(texts, request) {
  const answer = await ask("v1/embed/text", { ...request, json: { texts } });
  return answer.records.map((record) => record.embedding);
}

/**
 * The answer of a place. `body` is a form and `json` an object to post; `signal` ends it. `waits` is told the seconds
 * until a busy server is asked again.
 */
async function ask(place, { body, json, signal, waits = () => {} } = {}) {
  for (;;) {
    const response = await send(place, { body, json, signal });
    if (response.status === 429) {
      const seconds = Number(response.headers.get("Retry-After")) || 1;
      waits(seconds);
      await pause(seconds, signal);
      continue;
    }
    const answer = await parsed(response);
    if (answer.kind === "unauthorized") {
      if (await askForKey()) continue;
      throw new ServerError("The server asks for a key. Load the page again to type one in.", answer.kind);
    }
    // Where every picture fails the answer is an error that has their records all the same.
    if (response.ok || answer.records) return answer;
    throw new ServerError(answer.error ?? `The server answered ${response.status}.`, answer.kind);
  }
}

async function send(place, { body, json, signal }) {
  const headers = keyHeaders();
  if (json) headers["Content-Type"] = "application/json";
  const method = body || json ? "POST" : "GET";
  try {
    return await fetch(place, { method, headers, body: json ? JSON.stringify(json) : body, signal, credentials });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server cannot be reached. Is it still running?", "unreachable");
  }
}

async function parsed(response) {
  if (!response.headers.get("Content-Type")?.startsWith("application/json")) {
    throw new ServerError(`The answer (${response.status}) is not this server's.`, "foreign");
  }
  return response.json();
}

/** Waits; a signal that aborts ends it with an AbortError. */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
