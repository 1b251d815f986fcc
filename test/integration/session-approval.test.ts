import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Session } from "../../durable-objects/session.do";
import type { ConsumerEnv } from "../../src/consumer/env";
import { runSession } from "../../src/consumer/run-session";
import { streamEventSchema } from "../../src/session";
import { FLY_WRITE_TOKEN } from "../support/test-vars";
import { acts, breakFly, dropTargets, flyWrites, freshFixes, MACHINE, setMode, until } from "./fix-kit";
import { llm, llmLedger, llmVars } from "./llm-kit";
import {
  act,
  connect,
  type Frame,
  hold,
  input,
  objectOf,
  policy,
  type Signer,
  signedGet,
  someone,
} from "./session-kit";

/**
 * Acts that the built-in agent asks its client to approve: the real edge, objects, queue and consumer, and a Fly stand-in that
 * counts what reaches it. One answer of an admin is one start; everything else is none.
 */

beforeAll(() => policy("open"));
beforeEach(freshFixes);
afterEach(async () => {
  await setMode(null);
  await dropTargets();
});

async function admin(): Promise<Signer> {
  const who = await someone();
  await act("add_admin", who.address);
  return who;
}

const approve = (more: object = {}): object => ({ type: "APPROVAL_RESPONSE", approved: true, scope: "once", ...more });
const fixes = async (): Promise<Frame[]> =>
  (await env.DB.prepare("SELECT key, state, mode, by FROM autofix").all<Frame>()).results;

/** Asked for by an admin, and waiting for the answer. */
async function waiting(who?: Signer) {
  const me = who ?? (await admin());
  const { target, incident } = await breakFly();
  await setMode("approve");
  const { line, id } = await connect(me);
  line.send(input(`restart ${target}`));
  const question = await line.next("approval_needed");
  return { me, target, incident, line, id, question };
}

describe("an act that needs approval", () => {
  it("is asked in the spec's form, survives disconnect and the object's restart, and is done once", async () => {
    const { me, incident, line, id, question } = await waiting();
    expect(streamEventSchema.safeParse(question).success).toBe(true);
    expect(question).toMatchObject({
      ...{ tool: "restart_unhealthy_machine", session_id: id, seq: expect.any(Number) },
      arguments: { incident_id: incident, app: "web", machine: MACHINE, verb: "start" },
      description: expect.stringContaining(`Start machine ${MACHINE} of app web`),
    });
    expect(await (await signedGet(me, `/sessions/${id}`)).json()).toMatchObject({ status: "waiting_approval" });
    expect(await fixes()).toEqual([]);
    line.leave();
    await runInDurableObject(objectOf(id), (_o: Session, state) => state.abort()).catch(() => {});
    const again = await connect(me, { session_id: id, last_msg_id: String(question["seq"]) });
    expect(again.connected).toMatchObject({ status: "running" });
    // Seen before the drop, and still asked.
    expect(await again.line.next("approval_needed")).toMatchObject({ id: question["id"] });
    expect(await flyWrites()).toEqual([]);
    again.line.send(approve());
    again.line.send(approve());
    const output = await again.line.next("OUTPUT");
    expect(output["result"]).toContain("is approved and on its way");
    expect(again.line.frames.map((f) => f.type)).toEqual(expect.arrayContaining(["tool_call", "tool_result"]));
    await until("one start", acts, (calls) => calls.length === 1);
    await until("its end", fixes, ([f]) => f?.["state"] === "done");
    expect(await fixes()).toMatchObject([{ mode: "approve", by: expect.stringMatching(/^client 0x.{4}….{4} run /) }]);
    await again.line.silent("OUTPUT", 200);
    expect([again.line.count("OUTPUT"), (await acts()).length]).toEqual([1, 1]);
    again.line.leave();
  });

  it("refused does nothing, and says the client's own words", async () => {
    const { line, id, me } = await waiting();
    line.send({ type: "APPROVAL_RESPONSE", approved: false, mode: "reject_hard", feedback: "not during the sale" });
    const output = await line.next("OUTPUT");
    expect(output["result"]).toBe("Not done: you refused it (not during the sale).");
    expect([await fixes(), await flyWrites()]).toEqual([[], []]);
    expect(await (await signedGet(me, `/sessions/${id}`)).json()).toMatchObject({ status: "done" });
    line.leave();
  });

  it("is not done for somebody whose admin mark is gone, nor a quarter of an hour later", async () => {
    const first = await waiting();
    await act("remove_admin", first.me.address);
    await act("promote", first.me.address);
    first.line.send(approve());
    expect((await first.line.next("OUTPUT"))["result"]).toMatch(/^Not done: Only an admin/);
    first.line.leave();
    const late = await waiting();
    await runInDurableObject(objectOf(late.id), (_o: Session, state) => {
      const { pending } = state.storage.sql.exec<{ pending: string }>("SELECT pending FROM run").one();
      const question = JSON.parse(pending) as { resume: string };
      const resume = { ...(JSON.parse(question.resume) as object), asked_at: Date.now() - 16 * 60_000 };
      const aged = JSON.stringify({ ...question, resume: JSON.stringify(resume) });
      state.storage.sql.exec("UPDATE run SET pending = ?", aged);
    });
    late.line.send(approve());
    expect((await late.line.next("OUTPUT"))["result"]).toMatch(/^Not done: the 15 minutes/);
    expect([await fixes(), await flyWrites()]).toEqual([[], []]);
    late.line.leave();
  });

  it("is not even asked of a client that is no admin", async () => {
    const { target } = await breakFly();
    await setMode("approve");
    const { line } = await connect(await someone());
    line.send(input(`restart ${target}`));
    expect(await line.next("tool_blocked")).toMatchObject({ tool: "restart_unhealthy_machine", reason: "forbidden" });
    expect((await line.next("OUTPUT"))["result"]).toContain("I only read");
    expect([line.count("approval_needed"), await fixes()]).toEqual([0, []]);
    line.leave();
  });

  it("is refused by a gate without a question, and a dry run needs none", async () => {
    const me = await admin();
    const { target } = await breakFly();
    const { line } = await connect(me);
    line.send(input(`restart ${target}`));
    expect((await line.next("OUTPUT"))["result"]).toBe("Not done: The fix envelope of fly is off.");
    await setMode("dry_run");
    line.send(input(`restart ${target}`));
    expect((await line.next("OUTPUT", 1))["result"]).toContain("dry run");
    expect(line.count("approval_needed")).toBe(0);
    expect(await fixes()).toMatchObject([{ mode: "dry_run" }]);
    expect(await flyWrites()).toEqual([]);
    line.leave();
  });
});

describe("an act that the model wants", () => {
  it("is asked after its answer, and the model is not asked again for the client's", async () => {
    const me = await admin();
    const { incident } = await breakFly();
    await setMode("approve");
    const { line, id } = await connect(me);
    await llm({
      reset: true,
      queue: [
        {
          mode: "tool",
          tools: [{ name: "request_machine_restart", input: { incident_id: incident, machine: MACHINE } }],
        },
        { mode: "good", text: `It stopped [incident:${incident}]. I ask you for approval.` },
      ],
    });
    const consumer = llmVars({ REVEILLE_FLY_WRITE_TOKEN: FLY_WRITE_TOKEN }) as unknown as ConsumerEnv;
    const { run, token } = await hold(id, me, "The flux of the shop is odd, please do what helps");
    // The consumer beside us, which has no engine, finds it busy; then it is this test's.
    await scheduler.wait(300);
    await objectOf(id).release(run, token);
    expect(await runSession(id, run, consumer)).toEqual({ done: true });
    expect(await line.next("approval_needed")).toMatchObject({ arguments: { machine: MACHINE } });
    expect(await line.next("assistant")).toMatchObject({ content: expect.stringContaining("I ask you for approval") });
    const { calls } = await llmLedger();
    line.send({ type: "APPROVAL_RESPONSE", approved: false });
    const output = await line.next("OUTPUT");
    expect(output["result"]).toMatch(/I ask you for approval[\s\S]*Not done: you refused it\./);
    expect((await llmLedger()).calls).toHaveLength(calls.length);
    expect(await fixes()).toEqual([]);
    line.leave();
  });
});
