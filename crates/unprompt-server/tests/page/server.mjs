// The program as a server, started for a test and stopped after it.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
export const KEY = "a-key-of-the-tests";
const ENCODER = "all-MiniLM-L6-v2";

const TABLES = {
  mediums: ["a photo", "a painting"],
  artists: ["by a", "by b"],
  movements: ["art", "new art"],
  trendings: ["here", "there"],
  flavors: ["red", "blue", "green", "warm", "cold"],
};

/** The folder of models that the tests of the real weights use too, with the sentence encoder in it; null without. */
export function cacheWithEncoder(program) {
  const cache = resolve(process.env.UNPROMPT_CACHE || join(ROOT, "target/model-cache"));
  const env = { ...process.env, UNPROMPT_CACHE: cache };
  const pulled = spawnSync(program, ["models", "pull", ENCODER], { env, encoding: "utf8" });
  if (pulled.status === 0) return cache;
  console.log(`no sentence encoder: ${pulled.stderr.trim().split("\n").at(-1)}`);
  return null;
}

/** Folder of a small CLIP and one of labels, as arguments. */
export function smallClip(folder) {
  const labels = join(folder, "labels");
  mkdirSync(labels);
  for (const [table, lines] of Object.entries(TABLES)) writeFileSync(join(labels, `${table}.txt`), lines.join("\n"));
  return ["--clip", join(ROOT, "fixtures/models/tiny-clip"), "--labels", labels];
}

export function scratch() {
  const folder = mkdtempSync(join(tmpdir(), "unprompt-page-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts `unprompt serve`; gives its address and a function that stops it and checks that it ended well. */
export async function startServer(program, cache, args, more = {}) {
  const env = { PATH: process.env.PATH, HOME: cache, UNPROMPT_CACHE: cache, ...more };
  const child = spawn(program, ["serve", "--offline", "--port", "0", ...args], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  // Nothing stays behind where a test fails.
  process.on("exit", () => child.kill());
  let log = "";
  const url = await new Promise((found, failed) => {
    child.stderr.setEncoding("utf8").on("data", (text) => {
      log += text;
      const line = log.match(/listening on (http:\/\/\S+)/);
      if (line) found(line[1]);
    });
    child.on("exit", (code) => failed(new Error(`the server ended with ${code}:\n${log}`)));
  });
  const stop = async () => {
    child.removeAllListeners("exit");
    const ended = new Promise((end) => child.on("exit", end));
    child.kill("SIGTERM");
    const code = await ended;
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${log}`);
  };
  return { url, stop };
}
