// What was asked before, kept in the browser: small copies and answers, not the pictures.

const MOST = 300;
const STORE = "pictures";
let database = null;

/** Opens the history. False where the browser keeps none. */
export async function openHistory() {
  try {
    const request = indexedDB.open("unprompt", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    database = await done(request);
    return true;
  } catch {
    return false;
  }
}

/** All entries, the last batch first and each batch in its order. What is beyond the limit is forgotten. */
export async function loadHistory() {
  if (!database) return [];
  const all = await done(store("readonly").getAll());
  all.sort((one, other) => other.batch - one.batch || one.index - other.index);
  for (const entry of all.slice(MOST)) forget(entry);
  return all.slice(0, MOST);
}

/** Keeps an entry, in place of the one that had its id. */
export function keep({ id, batch, index, name, thumbnail, record, stored, analysis, guess, edited }) {
  // What the browser has no room for is not kept, and that is all.
  put({ id, batch, index, name, thumbnail, record, stored, analysis, guess, edited }).catch(() => {});
}

async function put(entry) {
  if (database) await done(store("readwrite").put(entry));
}

/** Forgets an entry. */
export function forget({ id }) {
  if (database) store("readwrite").delete(id);
}

/** Forgets all. */
export async function forgetAll() {
  if (database) await done(store("readwrite").clear());
}

function store(mode) {
  return database.transaction(STORE, mode).objectStore(STORE);
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
