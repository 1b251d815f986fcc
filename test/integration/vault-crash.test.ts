import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { sessionObject } from "../../durable-objects/session.stub";
import { chatSessionName } from "../../src/gateway";
import { edge, type Home, makeHome, slackForm, TEAM, unique } from "./ingest-kit";
import { control } from "./notify-kit";

/**
 * An event with a credential crosses two objects before its ack: stored held, sealed, released (design §4.1). Whatever ends the
 * call between two of these steps, Slack's repeat goes on from there: the event is sent once, never without its credential.
 */

let home: Home;
beforeAll(async () => {
  home = await makeHome();
});
beforeEach(() => control({ reset: true }));

type Step = "offer" | "seal" | "settle";

/** The binding with one method that fails, before its work or after it, the first time it is called. */
function failing(namespace: DurableObjectNamespace, method: Step, when: "before" | "after"): DurableObjectNamespace {
  let failed = false;
  const stubOf = (stub: object): object => {
    // Whatever is read from a stub is a call to be: not even `bind` is a function's own.
    const call = (key: PropertyKey, args: unknown[]): unknown =>
      (stub as Record<PropertyKey, (...a: unknown[]) => unknown>)[key]!(...args);
    return new Proxy(
      {},
      {
        get:
          (_, key) =>
          async (...args: unknown[]) => {
            if (key !== method || failed) return call(key, args);
            failed = true;
            if (when === "after") await call(key, args);
            throw new Error("the process ended");
          },
      },
    );
  };
  return new Proxy(namespace, {
    get: (target, key) => {
      const value = Reflect.get(target, key) as unknown;
      if (key === "get") return (...args: [DurableObjectId]) => stubOf(target.get(...args));
      return typeof value === "function" ? (value as () => unknown).bind(target) : value;
    },
  });
}

const slash = (): Record<string, string> => {
  const n = String(unique()).padStart(6, "0");
  return {
    token: "slack-legacy-verification-token",
    team_id: TEAM,
    channel_id: home.dm,
    channel_name: "directmessage",
    user_id: home.user,
    user_name: "ana",
    command: "/hermes",
    text: `crash ${n}`,
    response_url: `https://hooks.slack.com/commands/${TEAM}/${n}/CrashCanary${n}`,
    trigger_id: `9${n}.1.abc${n}`,
  };
};

describe.each([
  ["offer", "before", null],
  ["offer", "after", "received"],
  ["seal", "before", "received"],
  ["seal", "after", "received"],
  ["settle", "before", "received"],
  ["settle", "after", "queued"],
] as const)("a call that ends at %s, %s its work", (step, when, left) => {
  it("is no ack, and its repeat goes on from there", async () => {
    const form = slash();
    const name = step === "seal" ? "SESSION" : "GATEWAY";
    const env = { [name]: failing(edge[name], step, when) };
    expect((await slackForm("commands", form, { env })).status).toBe(500);
    const mine = async () => (await home.rows()).filter((r) => r.text.includes(form["text"]!));
    expect((await mine()).map((r) => r.state)).toEqual(left === null ? [] : [left]);

    expect((await slackForm("commands", form)).status).toBe(200);
    expect((await mine()).map((r) => r.state)).toEqual(["queued"]);
    const vault = sessionObject(edge.SESSION, chatSessionName(home.to, "slack", home.dm));
    const [newest] = await vault.vault();
    expect(newest).toMatchObject({ kind: "slack.response_url", uses_left: 5, wielded: 0, state: "live" });

    // And once more: a repeat of what is done is a repeat of nothing.
    const before = (await vault.vault()).length;
    expect((await slackForm("commands", form)).status).toBe(200);
    expect([(await mine()).length, (await vault.vault()).length]).toEqual([1, before]);
  });
});
