import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { expect, it } from "vitest";
import { close, create, type Desk, findRecipients, inbox, reply, send, ToolFault } from "../../src/messaging";
import { newAgent, newWorkspace, workspaceStub } from "./messaging-kit";

/**
 * Any order of calls against the rules of wake-slo §7: the real statements in a real object's SQLite, beside a model that is a
 * few maps. Each call is made twice as often as not, because senders repeat.
 */

type Act =
  | { do: "create"; by: number; key: number; topic: number }
  | { do: "send"; by: number; to: number; session: number; body: number; key: number }
  | { do: "reply"; by: number; session: number; body: number; close: boolean; key: number }
  | { do: "close"; by: number; session: number }
  | { do: "inbox"; by: number };

const who = fc.integer({ min: 0, max: 2 });
const small = fc.integer({ min: 0, max: 3 });
/** 0: no key. */
const key = fc.integer({ min: 0, max: 4 });
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ do: fc.constant("create" as const), by: who, key, topic: fc.integer({ min: 0, max: 1 }) }),
  fc.record({
    do: fc.constant("send" as const),
    by: who,
    to: who,
    session: small,
    body: fc.integer({ min: 0, max: 1 }),
    key,
  }),
  fc.record({
    ...{ do: fc.constant("reply" as const), by: who, session: small, body: fc.integer({ min: 0, max: 1 }) },
    ...{ close: fc.boolean(), key },
  }),
  fc.record({ do: fc.constant("close" as const), by: who, session: small }),
  fc.record({ do: fc.constant("inbox" as const), by: who }),
);

interface Session {
  id: string;
  creator: number;
  members: Set<number>;
  open: boolean;
  messages: { from: number; to: number }[];
}

it("keeps the machines of sessions, messages and idempotency keys in any order of calls", async () => {
  const workspace = newWorkspace();
  const agents = await Promise.all(["a", "b", "c"].map((name) => newAgent(workspace, name)));
  const callers = agents.map((a) => ({ id: a.id, name: a.name, workspace, profile: "standard" as const }));
  await runInDurableObject(workspaceStub(workspace), async (_, state) => {
    const desk: Desk = {
      sql: state.storage.sql,
      transaction: (work) => state.storage.transactionSync(work),
      now: Date.now,
      wall: Date.now,
      find: (asked) => findRecipients(env.DB, workspace, asked),
    };
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 3, maxLength: 25 }), async (acts) => {
        for (const table of ["session", "message", "idem"]) desk.sql.exec(`DELETE FROM ${table}`);
        const sessions: Session[] = [];
        const keys = new Map<string, { ask: string; id: string }>();
        const unread = [0, 0, 0];
        const outcome = async (work: () => Promise<Record<string, unknown>> | Record<string, unknown>) => {
          try {
            return { value: await work(), code: null };
          } catch (error) {
            if (!(error instanceof ToolFault)) throw error;
            return { value: null, code: error.code };
          }
        };
        for (const a of acts) {
          const me = callers[a.by]!;
          const session = "session" in a ? sessions[a.session] : undefined;
          const mine = session?.members.has(a.by) ?? false;
          const id = session?.id ?? "none";
          if (a.do === "inbox") {
            const got = inbox(desk, me, { status: "undelivered", limit: 100 })["items"] as unknown[];
            expect(got).toHaveLength(unread[a.by]!);
            unread[a.by] = 0;
            continue;
          }
          if (a.do === "close") {
            const got = await outcome(() => close(desk, me, { session_id: id }));
            if (!mine) expect(got.code).toBe("NOT_FOUND");
            else {
              expect(got.value?.["noop"]).toBe(session!.open ? undefined : true);
              session!.open = false;
            }
            continue;
          }
          const idempotency_key = a.key === 0 ? undefined : `k${a.key}`;
          const { by: _by, key: _key, ...asked } = a;
          // A session of no number yet is the same request as another such one.
          const ask = JSON.stringify({ ...asked, session: id });
          const stored = idempotency_key === undefined ? undefined : keys.get(`${a.by}:${idempotency_key}`);
          const got = await outcome(() =>
            a.do === "create"
              ? create(desk, me, { topic: `t${a.topic}`, idempotency_key })
              : a.do === "send"
                ? send(desk, me, {
                    ...{ to_agent: agents[a.to]!.name, body: `b${a.body}`, idempotency_key },
                    ...(a.session === 3 ? {} : { session_id: id }),
                  })
                : reply(desk, me, { session_id: id, body: `b${a.body}`, close: a.close, idempotency_key }),
          );
          if (stored) {
            if (stored.ask === ask) expect(got.value).toMatchObject({ id: stored.id, deduplicated: true });
            else expect(got.code).toBe("CONFLICT");
            continue;
          }
          const fresh = a.do === "create" || (a.do === "send" && a.session === 3);
          if (!fresh && !mine) {
            expect(got.code).toBe("NOT_FOUND");
            continue;
          }
          if (!fresh && !session!.open) {
            expect(got.code).toBe("CONFLICT");
            continue;
          }
          expect(got.code).toBeNull();
          const made = String(got.value!["id"]);
          if (idempotency_key !== undefined) keys.set(`${a.by}:${idempotency_key}`, { ask, id: made });
          if (a.do === "create") {
            sessions.push({ id: made, creator: a.by, members: new Set([a.by]), open: true, messages: [] });
            continue;
          }
          let into = session;
          if (fresh) {
            into = {
              id: String(got.value!["session_id"]),
              creator: a.by,
              members: new Set([a.by]),
              open: true,
              messages: [],
            };
            sessions.push(into);
          }
          const to = a.do === "send" ? a.to : (into!.messages.findLast((m) => m.from !== a.by)?.from ?? into!.creator);
          expect(got.value!["to"]).toBe(agents[to]!.name);
          into!.messages.push({ from: a.by, to });
          into!.members.add(to);
          unread[to]!++;
          if (a.do === "reply" && a.close) into!.open = false;
        }
        const { n } = desk.sql.exec<{ n: number }>("SELECT count(*) AS n FROM message").one();
        expect(n).toBe(sessions.reduce((sum, s) => sum + s.messages.length, 0));
      }),
      { numRuns: 40 },
    );
  });
});
