import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "connectonion";
import { connect as connectG1 } from "connectonion-g1";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type LocalRuntime, startRuntime } from "../../scripts/lib/runtime";
import { startLlm } from "../support/llm";
import { keysOf } from "../support/onion-keys";
import { RawClient } from "./relay-kit";

/**
 * The built-in agent over `/ws`, in a running Reveille: the published clients, unmodified, that lose their connection, and a
 * runtime that is killed while a model thinks.
 */

let dataDir: string;
let runtime: LocalRuntime;
let llm: Awaited<ReturnType<typeof startLlm>>;
let address = "";

const vars = (): Record<string, string> => ({
  OPERATOR_TOKEN: "session-host-operator-token-31ab",
  REVEILLE_SESSION_KEY: "k".repeat(32),
  REVEILLE_BEAT_KEY: "b".repeat(32),
  REVEILLE_AGENT_SEED: "7c".repeat(32),
  REVEILLE_TRUST_POLICY: "open",
  REVEILLE_ANTHROPIC_API_KEY: "sk-host-test-key-0001",
  REVEILLE_ANTHROPIC_BASE_URL: `${llm.url}/v1`,
  REVEILLE_ALLOW_PRIVATE: "127.0.0.1:*",
});

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "reveille-host-"));
  llm = await startLlm();
  runtime = await startRuntime({ port: 0, dataDir, vars: vars() });
  address = ((await (await runtime.fetch("/info")).json()) as { address: string }).address;
}, 60_000);
afterAll(async () => {
  await runtime.stop();
  await llm.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const control = (change: object): Promise<Response> =>
  fetch(`${llm.url}/_control`, { method: "POST", body: JSON.stringify(change) });
const calls = async (): Promise<number> =>
  ((await (await fetch(`${llm.url}/_ledger`)).json()) as { calls: unknown[] }).calls.length;
const client = (name: string) => connect(address, { directUrl: runtime.url, keys: keysOf(name) });

async function until(check: () => boolean | Promise<boolean>, ms: number): Promise<void> {
  const end = Date.now() + ms;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`Not within ${ms} ms.`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

it("0.1.4: inputs one after the other, a drop, and the session again", async () => {
  await control({ reset: true });
  const agent = client("today");
  const first = await agent.input("How much of the budget is left?");
  expect(first).toMatchObject({ done: true, text: expect.stringMatching(/\$/) });
  expect((await agent.input("What is down?")).text).not.toBe(first.text);
  const id = agent.currentSession!.session_id!;
  expect(await agent.checkSession(id)).toBe("done");
  expect(await agent.checkSessionStatus(id)).toBe("connected");
  expect(await agent.reconnect(id)).toMatchObject({ done: true });
  expect((await agent.input("What is down?")).done).toBe(true);
  expect(agent.currentSession).toMatchObject({ session_id: id, iteration: 3 });
  expect(await client("somebody else").checkSessionStatus(id)).toBe("not_found");
  agent.reset();
});

it("0.0.15: signs its inputs and gets its answers", async () => {
  const agent = connectG1(address, { directUrl: runtime.url, keys: keysOf("yesterday") });
  expect((await agent.input("How much of the budget is left?")).text).toMatch(/\$/);
  expect((await agent.input("What is down?")).done).toBe(true);
});

it("an answer that comes while its client is away is there when it comes back", async () => {
  await control({ reset: true, queue: [{ mode: "good", text: "Nothing is on fire.", delay: 1_500 }] });
  const agent = client("traveller");
  const lost = agent.input("Tell me about the flux of the shop").catch((error: Error) => error);
  await until(async () => (await calls()) > 0, 5_000);
  const id = agent.currentSession!.session_id!;
  const back = client("traveller");
  const answer = await back.reconnect(id);
  expect(answer.text).toContain("Nothing is on fire.");
  expect(back.ui.some((item) => item.type === "thinking" && item.model)).toBe(true);
  await lost;
  expect(await calls()).toBe(1);
  for (const a of [agent, back]) a.reset();
});

it("frames of one line are handled in the order they were sent", async () => {
  const line = await RawClient.open(`${runtime.url.replace("http", "ws")}/ws`, "pipeline");
  const { to: _direct, ...connectFrame } = line.connectFrame(address);
  line.send(connectFrame);
  for (let i = 0; i < 60; i++) line.send({ type: "EXEC", exec_id: String(i), tool: "none" });
  const results = (): unknown[] => line.frames.filter((f) => f["type"] === "EXEC_RESULT").map((f) => f["exec_id"]);
  await until(() => results().length === 60, 5_000);
  expect(results()).toEqual(Array.from({ length: 60 }, (_, i) => String(i)));
});

it("kill -9 while the model thinks: one answer, the model is not asked again", { timeout: 90_000 }, async () => {
  await control({ reset: true, otherwise: { mode: "hang" } });
  const agent = client("survivor");
  const lost = agent.input("Tell me about the flux of the shop").catch((error: Error) => error);
  await until(async () => (await calls()) > 0, 5_000);
  const id = agent.currentSession!.session_id!;
  const { port, workerdPid } = runtime;
  process.kill(workerdPid, "SIGKILL");
  await runtime.stop();
  expect(await lost).toBeInstanceOf(Error);
  runtime = await startRuntime({ port, dataDir, vars: vars() });
  expect(await (await runtime.fetch(`/sessions/${id}`)).json()).toMatchObject({ status: "running" });
  const answer = await client("survivor").reconnect(id);
  expect(answer.text.length).toBeGreaterThan(10);
  expect(await calls()).toBe(1);
  expect(await (await runtime.fetch(`/sessions/${id}`)).json()).toMatchObject({ status: "done", result: answer.text });
});
