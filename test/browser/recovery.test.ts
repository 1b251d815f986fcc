import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findChromium, NO_CHROMIUM } from "../../scripts/lib/chromium";
import { type Edge, SLOW, startEdge } from "../node/client-kit";
import { servePage } from "./page";

/**
 * The typed client in a real browser, on a page of another origin than Reveille's: a reload in the middle of a run, a network
 * that is cut, and one that lets no WebSocket through. It does not show other browsers, nor pages without https.
 */

const executablePath = findChromium();
if (executablePath === null) process.stderr.write(`The browser tests are skipped: ${NO_CHROMIUM}\n`);

describe.skipIf(executablePath === null)("in Chromium", () => {
  let edge: Edge;
  let site: Awaited<ReturnType<typeof servePage>>;
  let browser: Browser;
  let page: Page;
  const faults: string[] = [];

  beforeAll(async () => {
    edge = await startEdge();
    site = await servePage(edge.net.url);
    // Chromium's own sandbox does not work for root, which is what containers run as.
    const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
    browser = await chromium.launch({ executablePath: executablePath!, args });
  }, 60_000);
  beforeEach(async () => {
    edge.llm.release();
    edge.llm.control({ reset: true });
    edge.net.mode("up");
    faults.length = 0;
    // Each has a profile of its own, so a client of its own.
    page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(10_000);
    page.on("pageerror", (error) => faults.push(String(error)));
    await page.goto(site.url);
    await page.waitForSelector("#state:has-text('fresh')");
    return () => page.context().close();
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    await edge?.close();
  });

  const textOf = (id: string): Promise<string | null> => page.textContent(`#${id}`);
  const linesOf = (list: string): Promise<string[]> => page.locator(`#${list} li`).allTextContents();
  const asked = (): number => edge.llm.ledger().calls.length;

  /** Asks the model, and waits until it is at it; it answers after `release()`. */
  async function ask(): Promise<void> {
    edge.llm.control({ queue: [{ mode: "good", text: "Nothing is on fire.", held: true }] });
    await page.fill("#prompt", SLOW);
    await page.click("#ask");
    await page.waitForSelector("#events li");
    await expect.poll(asked).toBe(1);
  }
  const answered = async (): Promise<void> => {
    await page.waitForSelector("#answer:has-text('Nothing is on fire.')");
  };

  it("a reload in the middle of a run gets its result, and the rest of its events", async () => {
    const before = [await textOf("session"), await textOf("address")];
    await ask();
    expect(await linesOf("events")).toEqual(["1 llm_call"]);
    await page.reload();
    await page.waitForSelector("#state:has-text('resumed')");
    expect([await textOf("session"), await textOf("address")]).toEqual(before);
    edge.llm.release();
    await answered();
    expect(await linesOf("events")).toEqual(["2 llm_result", "3 assistant"]);
    expect(asked()).toBe(1);
    await page.reload();
    await page.waitForSelector("#state:has-text('fresh')");
    expect(await textOf("session")).toBe(before[0]);
    expect(faults).toEqual([]);
  });

  it("a page that was closed while the run ended has the answer when it is opened again", async () => {
    await ask();
    const id = await textOf("session");
    await page.goto("about:blank");
    edge.llm.release();
    const status = async (): Promise<unknown> =>
      ((await (await edge.runtime.fetch(`/sessions/${id}`)).json()) as { status?: string }).status;
    await expect.poll(status).toBe("done");
    await page.goto(site.url);
    await page.waitForSelector("#state:has-text('resumed')");
    await answered();
    expect(asked()).toBe(1);
  });

  it("a line that is cut is opened again, and no event is missed or doubled", async () => {
    await ask();
    edge.net.cut();
    await page.waitForSelector("#news li");
    edge.llm.release();
    await answered();
    expect(await linesOf("events")).toEqual(["1 llm_call", "2 llm_result", "3 assistant"]);
    expect(await linesOf("news")).toContain("reconnecting");
    expect(asked()).toBe(1);
    expect(faults).toEqual([]);
  });

  it("where no WebSocket gets through the result is polled, across origins", async () => {
    await ask();
    edge.net.mode("no_websockets");
    edge.net.cut();
    await page.waitForSelector("#news li:has-text('polling')");
    edge.llm.release();
    await answered();
    expect(await linesOf("news")).toContain("polling");
    expect(asked()).toBe(1);
  });
});
