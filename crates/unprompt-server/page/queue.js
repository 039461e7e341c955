// Pictures that wait for the server: a few a request, so that progress shows and a cancel costs little.

const MOST_PICTURES = 4;
// A form's own bytes: heads of parts and their boundaries.
const FORM_BYTES = 64 << 10;

/**
 * A queue. `limits` has the server's `pictures` and `body` bytes; `predict(entries, request)` gives one answer each.
 * `changed(entry)` is told whenever an entry's `state` or answer changes, `progressed(progress)` how far all is.
 */
export function createQueue({ limits, predict, changed, progressed }) {
  const waiting = [];
  let [done, total, control] = [0, 0, null];

  function add(entries) {
    for (const entry of entries) {
      set(entry, { state: "waiting", error: undefined });
      waiting.push(entry);
    }
    total += entries.length;
    if (control === null) work();
    else progressed({ done, total });
  }

  function cancel() {
    control?.abort();
  }

  /** An entry that is taken off the list is not worked on. */
  function drop(entry) {
    const place = waiting.indexOf(entry);
    if (place < 0) return;
    waiting.splice(place, 1);
    total -= 1;
  }

  async function work() {
    control = new AbortController();
    const { signal } = control;
    while (waiting.length > 0 && !signal.aborted) {
      progressed({ done, total });
      await answer(nextBatch(), signal);
    }
    const cancelled = waiting.splice(0);
    for (const entry of cancelled) set(entry, { state: "cancelled" });
    progressed({ done, total, isOver: true, isCancelled: signal.aborted });
    [done, total, control] = [0, 0, null];
  }

  function nextBatch() {
    const room = limits.body - FORM_BYTES;
    const most = Math.min(MOST_PICTURES, limits.pictures);
    const batch = [waiting.shift()];
    let bytes = batch[0].file.size;
    while (waiting.length > 0 && batch.length < most && bytes + waiting[0].file.size <= room) {
      bytes += waiting[0].file.size;
      batch.push(waiting.shift());
    }
    return batch;
  }

  async function answer(batch, signal) {
    for (const entry of batch) set(entry, { state: "working" });
    const waits = (seconds) => progressed({ done, total, seconds });
    try {
      const answers = await predict(batch, { signal, waits });
      batch.forEach((entry, index) => finish(entry, answers[index]));
    } catch (error) {
      if (error.name === "AbortError") {
        for (const entry of batch) set(entry, { state: "cancelled" });
        return;
      }
      if (error.kind === "too_large" && batch.length > 1) {
        for (const entry of batch) await answer([entry], signal);
        return;
      }
      for (const entry of batch) set(entry, { state: "failed", error: error.message });
    }
    done += batch.length;
  }

  function finish(entry, { record, stored }) {
    if (record.error === undefined) set(entry, { state: "done", record, stored });
    else set(entry, { state: "failed", error: record.error });
  }

  function set(entry, change) {
    Object.assign(entry, change);
    changed(entry);
  }

  return { add, cancel, drop };
}
