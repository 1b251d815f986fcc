import { timingSafeEqual } from "node:crypto";
import { describe, expect, it } from "vitest";
import { sampleVars, signWebhook, standInPort } from "../../scripts/lib/sample";
import { authorOf, freshBody, namesOf, PLATFORMS, readFixture } from "../../scripts/lib/sample.fixtures";

/** `npm run send`: what it sends is what the edge takes, new each time. The whole way is seen by the demo and the drill. */

interface Adaptor {
  name: string;
  verify(call: object, vars: object, nowS: number): Promise<string>;
  read(
    call: object,
    facts: object,
  ): Promise<{
    events: { d1: string; d2: string | null; event: { text: string; source: { user_id: string | null } } }[];
  }>;
}
// By a name that is not resolved at compile time: the edge's modules are typed for the Workers runtime, this file for Node.
const PLATFORM_MODULE = "../../src/platform/index.ts";
const { ADAPTORS } = (await import(PLATFORM_MODULE)) as { ADAPTORS: Adaptor[] };

// workerd has it, Node has its own.
Object.assign(crypto.subtle, {
  timingSafeEqual: (a: ArrayBuffer, b: ArrayBuffer) => timingSafeEqual(Buffer.from(a), Buffer.from(b)),
});

const TOKEN = "operator-token-of-this-test";
const vars = sampleVars(TOKEN, "http://127.0.0.1:9787");

/** As the stand-in's set-up answers tell them. */
const BOTS: Record<string, object> = {
  slack: { bot_id: "U0BOT00001", bot_ref: "B0BOT00001", username: "hermes" },
  telegram: { bot_id: "7000001", bot_ref: null, username: "HermesTestBot" },
};

async function read(platform: string, name: string, more: { text?: string; user?: string } = {}, token = TOKEN) {
  const fixture = readFixture(platform, name);
  const adaptor = ADAPTORS.find((a) => a.name === platform)!;
  const { body, form } = freshBody(fixture, more);
  const url = `http://localhost:8787/webhooks/${platform}/sample${fixture.tail && `/${fixture.tail}`}`;
  const { headers } = signWebhook(token, platform, body, { url, form });
  const all = { ...vars, REVEILLE_PUBLIC_URL: "http://localhost:8787" };
  const bytes = new TextEncoder().encode(body);
  const call = {
    app: "sample",
    tail: fixture.tail,
    method: "POST",
    url: new URL(url),
    headers: new Headers(headers),
    bytes,
  } as const;
  const verdict = await adaptor.verify(call, all, Math.floor(Date.now() / 1000));
  const reading =
    verdict === "ok" ? await adaptor.read(call, { bot: BOTS[platform] ?? null, now: Date.now(), vars: all }) : null;
  return { fixture, adaptor, verdict, reading };
}

describe("a sample webhook", () => {
  it("of every platform and kind is proven by the sample app's own secrets, and by no others", async () => {
    let n = 0;
    for (const platform of PLATFORMS)
      for (const name of namesOf(platform)) {
        const { verdict, reading, fixture } = await read(platform, name);
        expect(verdict, `${platform} ${name}`).toBe("ok");
        const wanted = (fixture.expect.events ?? []).length;
        expect(reading!.events, `${platform} ${name}`).toHaveLength(wanted);
        n++;
      }
    expect(n).toBeGreaterThan(90);
    for (const platform of PLATFORMS)
      expect((await read(platform, "message", {}, "another")).verdict).toBe("bad_signature");
  });

  it("is a new event each time, with the words and the author that were asked for", async () => {
    for (const platform of PLATFORMS) {
      const user = platform === "sms" ? "+15559990000" : "99887766";
      const [one, two] = [await read(platform, "message", { text: "a & <b>", user }), await read(platform, "message")];
      const event = one.reading!.events[0]!;
      expect(event.d1, platform).not.toBe(two.reading!.events[0]!.d1);
      expect(event.d2 ?? event.d1, platform).not.toBe(two.reading!.events[0]!.d2);
      expect(event.event.text, platform).toContain("a & <b>");
      expect(event.event.source.user_id, platform).toBe(user);
      expect(two.reading!.events[0]!.event.source.user_id, platform).toBe(authorOf(two.fixture));
    }
  });

  it("names no file outside the samples, and its stand-in has a port beside the edge's", () => {
    for (const bad of ["../slack/im-text", "no-such", "", "/etc/passwd"])
      expect(() => readFixture("slack", bad)).toThrow(/no sample/);
    expect([standInPort(8787), standInPort(65_000)]).toEqual([9787, 64_000]);
  });
});
