// How pictures come in: dropped, pasted, chosen, or a folder of them.

import { byId } from "./dom.js";

// What is taken out of folders. A file that is named by itself is always sent: the server looks at its content.
const PICTURE = /\.(png|apng|jpe?g|jfif|webp|gif|bmp|tiff?|avif|heic|heif|jxl|mp4|webm)$/i;

/** Calls `take` with pictures, each a `file` and a `name`: the path, where it comes out of a folder. */
export function startIntake(take) {
  for (const input of [byId("files"), byId("folder")]) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      take(input === byId("folder") ? ofFolder(files) : files.map(bare));
      input.value = "";
    });
  }
  byId("folder-label").hidden = !("webkitdirectory" in byId("folder"));
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    take(files.map(bare));
  });
  startDrop(take);
}

function bare(file) {
  return { file, name: file.name };
}

function ofFolder(files) {
  const named = files.map((file) => ({ file, name: file.webkitRelativePath || file.name }));
  return named.filter(({ name }) => PICTURE.test(name)).sort(byName);
}

function byName(one, other) {
  return one.name < other.name ? -1 : 1;
}

function startDrop(take) {
  // An element below another is entered before the other is left.
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => isFiles(event) && mark(1));
  document.addEventListener("dragleave", (event) => isFiles(event) && mark(-1));
  document.addEventListener("dragover", (event) => isFiles(event) && event.preventDefault());
  document.addEventListener("drop", async (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    take(await dropped(event.dataTransfer));
  });
}

async function dropped(transfer) {
  // Entries have to be taken before anything is awaited: the transfer is empty afterwards.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files].map(bare);
  const found = [];
  for (const entry of entries) await collect(entry, "", found);
  return found;
}

async function collect(entry, above, found) {
  const path = above + entry.name;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null);
    if (file && (above === "" || PICTURE.test(path))) found.push({ file, name: path });
    return;
  }
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    // A reader gives a hundred at a time, and none at the end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (some.length === 0) break;
    inside.push(...some);
  }
  for (const below of inside.sort(byName)) await collect(below, `${path}/`, found);
}
