// Drives the page of a real server in a real browser: `node page.mjs PROGRAM [FOLDER]`, where FOLDER gets screenshots.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { checkAccessibility, clipboard, drop, load, openPage, startBrowser, statusSays, text } from "./browser.mjs";
import { KEY, ROOT, cacheWithEncoder, scratch, smallClip, startServer } from "./server.mjs";

const CAT = join(ROOT, "examples/pictures/cat.png");
const ROCKET = join(ROOT, "examples/pictures/rocket.jpg");
// A file of AUTOMATIC1111's web UI, made by the script beside it.
const STORED = join(ROOT, "crates/unprompt-metadata/tests/fixtures/a1111-text.png");
const NO_PICTURE = join(ROOT, "rustfmt.toml");

async function main() {
  const [program, shots] = process.argv.slice(2);
  if (!program) throw new Error("usage: node page.mjs PROGRAM [FOLDER FOR SCREENSHOTS]");
  const browser = await startBrowser();
  try {
    // Also a server that is there already, to look at the page while it is worked on.
    if (/^https?:/.test(program)) await testPictures(browser, program, true, shots);
    else await testProgram(browser, resolve(program), shots);
  } finally {
    await browser.close();
  }
  console.log("page: passed");
}

async function testProgram(browser, program, shots) {
  const folder = scratch();
  const cache = cacheWithEncoder(program);
  if (!cache && process.env.UNPROMPT_REQUIRE_WEIGHTS === "1") throw new Error("the sentence encoder is required");
  const plain = await startServer(program, cache ?? folder, []);
  await testPictures(browser, plain.url, Boolean(cache), shots);
  await testFolderAndPaste(browser, plain.url);
  await testDocs(browser, plain.url);
  await testCancel(browser, plain.url);
  await plain.stop();
  // Without an encoder: its own folder has none.
  const keyed = await startServer(program, folder, smallClip(folder), { UNPROMPT_API_KEY: KEY });
  await testKeyAndTables(browser, keyed.url, shots);
  await keyed.stop();
}

async function testPictures(browser, url, hasEncoder, shots) {
  const { page, context, faults } = await openPage(browser, url, { colorScheme: "light" });
  await load(page, url);
  await checkAccessibility(page, "empty");
  await shoot(page, shots, "empty");

  await drop(page, [CAT, STORED]);
  await statusSays(page, /All 2 done/);
  const [cat, stored] = [page.locator(".card").nth(0), page.locator(".card").nth(1)];
  assert.equal(await cat.locator(".badge").textContent(), "Predicted");
  assert.match(await cat.locator(".prompt").first().textContent(), /cat/);
  assert.equal(await stored.locator(".badge").textContent(), "Read from the file");
  assert.equal(await stored.locator(".note").textContent(), "written by AUTOMATIC1111");
  assert.match(await stored.locator(".prompt").first().textContent(), /^a cat, \(sitting:1\.2\)/);
  assert.match(await stored.locator(".negative p").textContent(), /^ugly, blurry,\nlow quality: yes$/);
  await stored.locator("summary").click();
  assert.match(await stored.locator("dl").textContent(), /SamplerDPM\+\+ 2M Karras/);
  for (const summary of await cat.locator("summary").all()) await summary.click();
  const near = cat.locator("details").filter({ hasText: "Nearest real prompts" });
  assert.ok((await near.locator("li").count()) >= 3);
  assert.match(await near.textContent(), /Found by retrieval.*cat/s);
  const members = cat.locator("details").filter({ hasText: "Members of the prediction" });
  assert.match(await members.textContent(), /retrieval: .*cat.*× \d/s);

  await testCopies(page, cat);
  await testEditor(page, cat, hasEncoder);
  await cat.locator(".analyze").click();
  await cat.locator(".analysis li").first().waitFor();
  assert.match(await cat.locator(".analysis").textContent(), /eye sees.*%/s);
  await stored.locator(".predict").click();
  await stored.locator(".guess .prompt").waitFor();
  assert.ok(await stored.locator(".guess .prompt").textContent());

  await page.setInputFiles("#files", [ROCKET, NO_PICTURE]);
  await statusSays(page, /All 2 done/);
  assert.equal(await page.locator(".card").count(), 4);
  assert.equal(await page.locator(".card").nth(1).locator(".badge").textContent(), "Failed");
  assert.match(await page.locator(".card").nth(1).locator(".note").textContent(), /not a picture/);
  await looks(page, shots);

  await testExports(page);
  await testReload(page, url);
  assert.deepEqual(faults, []);
  await context.close();
}

async function testCopies(page, card) {
  const prompt = await card.locator(".prompt").first().textContent();
  await card.locator(".copy-prompt").click();
  await statusSays(page, /Prompt copied/);
  assert.equal(await clipboard(page), prompt);
  await card.locator(".copy-embedding").click();
  await statusSays(page, /Embedding copied/);
  assert.equal(JSON.parse(await clipboard(page)).length, 384);
}

async function testEditor(page, card, hasEncoder) {
  await card.locator(".edit").click();
  assert.ok(await card.locator("textarea").evaluate((area) => area === document.activeElement), "focus");
  if (!hasEncoder) {
    await page.waitForFunction(() => /No similarity is shown/.test(document.querySelector(".editor-note").textContent));
    return;
  }
  const similarity = async () => Number(await card.locator(".similarity .number").first().textContent());
  await card.locator(".similarity li").first().waitFor();
  const original = await similarity();
  assert.ok(original > 0.5 && original <= 1, `${original}`);
  await card.locator("textarea").fill("");
  await card.locator("textarea").pressSequentially("a rusty tractor");
  await page.waitForFunction(
    (before) => Number(document.querySelector(".similarity .number")?.textContent ?? before) < before - 0.2,
    original,
  );
  assert.match(await card.locator(".editor-note").textContent(), /^Similarity to the prediction: 0\.\d+/);
}

/** Both themes at both widths; nothing is wider than the screen. */
async function looks(page, shots) {
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 });
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
      await checkAccessibility(page, `${theme}, ${width}`);
      await shoot(page, shots, `${theme}-${width}`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.locator("#theme").press("Enter");
  assert.notEqual(await ground(), light, "the button changes the theme");
  assert.equal(await page.locator("#theme").getAttribute("aria-pressed"), "true");
}

async function testExports(page) {
  const download = async (button) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator(button).click()]);
    return readFileSync(await file.path(), "utf8");
  };
  const lines = (await download("#export-jsonl")).trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.path).sort(), ["a1111-text.png", "cat.png", "rocket.jpg"]);
  const stored = lines.find((line) => line.source === "metadata");
  assert.equal(stored.stored.settings.Steps, 20);
  const csv = await download("#export-csv");
  assert.match(csv, /^path,prompt,source,/);
  // Quotes are doubled, and line breaks stay inside of them.
  assert.match(csv, /\r\na1111-text\.png,"a cat, \(sitting:1\.2\) on ""Steps: 5"" sign,\nNegative space, masterpiece",metadata,/);
}

/** The history: after a reload all answers are there, until the list is cleared. */
async function testReload(page, url) {
  const edited = page.locator(".card textarea").nth(2);
  const typed = await edited.inputValue();
  await load(page, url);
  assert.equal(await page.locator(".card").count(), 3);
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  assert.match(await page.locator(".card").nth(1).locator(".prompt").first().textContent(), /cat/);
  assert.ok(await page.locator(".card img").first().evaluate((image) => image.src.startsWith("data:image/")));
  await page.locator(".card").nth(1).locator(".edit").click();
  assert.equal(await page.locator(".card textarea").nth(1).inputValue(), typed);
  await page.locator(".card").nth(1).locator(".analyze").click();
  assert.match(await page.locator(".card").nth(1).locator(".analysis").textContent(), /eye sees/);
  await page.locator(".card").nth(0).locator(".remove").click();
  assert.equal(await text(page, "#pictures-title"), "2 pictures");
  await page.locator("#clear").click();
  await page.locator("#pictures").waitFor({ state: "hidden" });
  await load(page, url);
  assert.equal(await page.locator(".card").count(), 0);
}

/** Pictures are pasted too, and a folder gives its pictures alone, named by their paths. */
async function testFolderAndPaste(browser, url) {
  const { page, context, faults } = await openPage(browser, url);
  await load(page, url);
  await page.setInputFiles("#folder", join(ROOT, "examples/pictures"));
  await statusSays(page, /All 5 done/);
  const names = await page.locator(".name").allTextContents();
  const expected = ["astronaut.jpg", "cat.png", "coffee.webp", "photographer.png", "rocket.jpg"];
  assert.deepEqual(names, expected.map((name) => `pictures/${name}`));
  await drop(page, [CAT], "paste");
  await statusSays(page, /^Done\.$/);
  assert.equal(await page.locator(".card").count(), 6);
  assert.match(await page.locator(".card .prompt").first().textContent(), /cat/);
  assert.deepEqual(faults, []);
  await context.close();
}

/** The list of interfaces, made of the server's description. */
async function testDocs(browser, url) {
  const { page, context, faults } = await openPage(browser, `${url}/docs`);
  await page.goto(`${url}/docs`);
  await page.locator("h2", { hasText: "POST /v1/predict" }).waitFor();
  assert.equal(await page.locator("h2", { hasText: "/page/" }).count(), 0);
  await checkAccessibility(page, "docs");
  assert.deepEqual(faults, []);
  await context.close();
}

/** A busy server is asked again; a cancel stops the rest, and what was cancelled can be asked again. */
async function testCancel(browser, url) {
  const { page, context } = await openPage(browser, url);
  await load(page, url);
  let asked = 0;
  await page.route("**/v1/predict", async (route) => {
    asked += 1;
    if (asked === 1) await route.fulfill({ status: 429, headers: { "Retry-After": "1" }, json: { error: "full", kind: "busy" } });
    // The third hangs until it is cancelled.
    else if (asked !== 3) await route.continue();
  });
  await drop(page, Array(10).fill(CAT));
  await statusSays(page, /busy; it is asked again in 1 s/);
  await statusSays(page, /4 of 10 done …/);
  await page.locator("#cancel").click();
  await statusSays(page, /Cancelled: 4 of 10 done/);
  const badges = await page.locator(".badge").allTextContents();
  assert.deepEqual(badges, [...Array(4).fill("Predicted"), ...Array(6).fill("Cancelled")]);
  await page.locator(".card").nth(5).locator(".again").click();
  await statusSays(page, /^Done\.$/);
  assert.equal(await page.locator(".badge").nth(5).textContent(), "Predicted");
  await context.close();
}

/** A server with a key and a CLIP, and without a sentence encoder. */
async function testKeyAndTables(browser, url, shots) {
  const { page, context, faults } = await openPage(browser, url);
  await page.goto(url);
  for (const key of ["not-the-key", KEY]) {
    await page.locator("#key[open]").waitFor();
    if (key === KEY) await page.waitForFunction(() => /was wrong/.test(document.getElementById("key-note").textContent));
    else await checkAccessibility(page, "the key is asked for");
    await page.locator("#key-text").fill(key);
    await page.locator("#key-text").press("Enter");
  }
  await page.locator("html[data-ready]").waitFor();
  await drop(page, [CAT]);
  await statusSays(page, /^Done\.$/);
  await testEditor(page, page.locator(".card"), false);
  await page.locator(".analyze").click();
  await page.locator(".analysis .tables > div").nth(4).waitFor();
  const titles = await page.locator(".analysis h5").allTextContents();
  assert.deepEqual(titles.sort(), ["Artist", "Flavor", "Medium", "Movement", "Trending"]);
  assert.equal(await page.locator(".analysis .tables > div").filter({ hasText: "Medium" }).locator("li").count(), 2);
  await checkAccessibility(page, "tables of a CLIP");
  await shoot(page, shots, "tables");
  await page.setViewportSize({ width: 390, height: 900 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
  await shoot(page, shots, "tables-390");
  // The tab remembers the key.
  await load(page, url);
  assert.equal(await page.locator(".card").count(), 1);
  // Browsers note each 401 themselves.
  assert.deepEqual(faults.filter((fault) => !/401/.test(fault)), []);
  await context.close();
}

async function shoot(page, folder, name) {
  if (!folder) return;
  // What moves has stopped by then.
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

await main();
