import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { noteSent, type WakeWork } from "../../src/notify/wake.store";
import { api } from "./fix-kit";

/** A target made again under an old id is a new target: it inherits no cooldown of the one before. */

const body = (id: string) => ({ id, name: id, kind: "heartbeat", config: { period: "1h" } });
const cooldowns = async (id: string): Promise<number> =>
  (await env.DB.prepare("SELECT COUNT(*) AS n FROM wake_debounce WHERE target_id = ?").bind(id).first<{ n: number }>())!
    .n;
const sent = (id: string): Promise<unknown> =>
  noteSent(env.DB, { target_id: id, category: "no_beat", wake_id: "w1" } as WakeWork, Date.now()).run();

it("deleting a target deletes its cooldowns, and a wake that ends after that leaves none", async () => {
  const id = `cool-${Date.now()}`;
  expect((await api("POST", "/targets", body(id))).status).toBe(201);
  await sent(id);
  expect(await cooldowns(id)).toBe(1);
  await api("DELETE", `/targets/${id}`);
  expect(await cooldowns(id)).toBe(0);
  await sent(id);
  expect(await cooldowns(id)).toBe(0);
});

it("what is missing is said in words", async () => {
  const made = await api<{ error: { message: string; field: string; hint?: string } }>("POST", "/targets", {
    kind: "http",
    name: "x",
  });
  expect(made.status).toBe(400);
  expect(made.body.error).toMatchObject({ field: "config", message: "config is missing" });
  expect(made.body.error.hint).toContain("url");
});
