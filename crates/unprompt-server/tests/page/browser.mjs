// A browser that notes what a page does wrong, and what the tests do in it.

import axe from "axe-core";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { chromium } from "playwright-core";

const PATIENCE_MS = 60_000;

export async function startBrowser() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  // Root has no sandbox; the only page is ours.
  return chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
}

/** A page of a new browser profile. `faults` has console errors, exceptions, refusals of the policy, foreign requests. */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (asked.origin !== new URL(url).origin && !["data:", "blob:"].includes(asked.protocol)) {
      faults.push(`a foreign request: ${request.url()}`);
    }
  });
  page.on("dialog", (dialog) => dialog.accept());
  return { page, context, faults };
}

export async function load(page, url) {
  await page.goto(url);
  await page.locator("html[data-ready]").waitFor();
}

/** Drops files on the page, as a user does, or pastes them. */
export async function drop(page, files, way = "drop") {
  const sent = files.map((file) => ({ name: basename(file), bytes: readFileSync(file).toString("base64") }));
  const transfer = await page.evaluateHandle((all) => {
    const made = new DataTransfer();
    for (const { name, bytes } of all) {
      made.items.add(new File([Uint8Array.from(atob(bytes), (byte) => byte.charCodeAt(0))], name));
    }
    return made;
  }, sent);
  if (way === "paste") {
    const paste = (clipboardData) => document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
    await page.evaluate(paste, transfer);
    return;
  }
  for (const event of ["dragenter", "dragover", "drop"]) {
    await page.dispatchEvent("#intake", event, { dataTransfer: transfer });
  }
}

export async function text(page, selector) {
  return (await page.locator(selector).first().textContent()).trim();
}

export async function statusSays(page, pattern) {
  await page.waitForFunction(
    (source) => new RegExp(source).test(document.getElementById("status").textContent),
    pattern.source,
  );
}

export function clipboard(page) {
  return page.evaluate(() => navigator.clipboard.readText());
}

/** Fails on serious faults of accessibility. */
export async function checkAccessibility(page, when) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const lines = serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
  assert.deepEqual(lines, [], `accessibility, ${when}`);
}
