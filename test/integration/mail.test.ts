import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { budgetObject } from "../../durable-objects/budget.do";
import { switchboard } from "../../durable-objects/switchboard.do";
import { readAudit } from "../../src/audit";
import { processAsk } from "../../src/consumer/ask.consumer";
import type { ConsumerEnv } from "../../src/consumer/env";
import consumer from "../../src/consumer/index";
import { mailSetup } from "../../src/consumer/mail.consumer";
import { type AskRow, insertAsk, readAsk } from "../../src/reason";
import { makeEngine } from "../../src/reason/engine";
import { runtimeWith, vars } from "./notify-kit";

/**
 * Mail as Email Routing hands it to the consumer's `email` handler: raw bytes with the headers our receiving host put on top.
 * A good one becomes a question, goes through the real queue and is answered as a mail; every other one leaves nothing.
 */

const ALLOW = { REVEILLE_EMAIL_ALLOW: "operator@example.com, friend@example.com" };
const AUTH =
  "Authentication-Results: mx.cloudflare.net; dkim=pass header.d=example.com header.s=k1;\r\n dmarc=pass header.from=example.com policy.dmarc=reject;\r\n spf=pass smtp.mailfrom=operator@example.com";

interface Given {
  from?: string;
  envelope_from?: string;
  envelope_to?: string;
  auth?: string;
  headers?: string[];
  subject?: string;
  body?: string;
  id?: string | null;
  raw?: string;
}
let serial = 0;

function mail(g: Given = {}): ForwardableEmailMessage {
  const id = g.id === undefined ? `<m${++serial}.${Date.now()}@mail.example.com>` : g.id;
  const text =
    g.raw ??
    [
      g.auth ?? AUTH,
      `From: ${g.from ?? "Ana <operator@example.com>"}`,
      "To: reveille@example.com",
      `Subject: ${g.subject ?? "a question"}`,
      ...(id === null ? [] : [`Message-ID: ${id}`]),
      ...(g.headers ?? []),
      "",
      g.body ?? "Is anything down?\r\n\r\nOn Mon Reveille wrote:\r\n> old words\r\n",
    ].join("\r\n");
  const bytes = new TextEncoder().encode(text);
  const raw = new ReadableStream<Uint8Array>({
    start(controller) {
      // Mail arrives in pieces.
      controller.enqueue(bytes.subarray(0, bytes.length / 2));
      controller.enqueue(bytes.subarray(bytes.length / 2));
      controller.close();
    },
  });
  return {
    from: g.envelope_from ?? "operator@example.com",
    to: g.envelope_to ?? "reveille@example.com",
    raw,
    rawSize: bytes.length,
    headers: new Headers(),
    setReject: () => {
      throw new Error("a refused mail must not bounce: its sender may be forged");
    },
    forward: () => Promise.reject(new Error("never forwarded")),
    reply: () => Promise.reject(new Error("never answered from here")),
  } as unknown as ForwardableEmailMessage;
}

const receive = (given: Given = {}, more: Record<string, unknown> = ALLOW): Promise<void> =>
  consumer.email(mail(given), vars(more) as unknown as ConsumerEnv);
const asks = async (): Promise<AskRow[]> =>
  (await env.DB.prepare("SELECT * FROM ask ORDER BY created_at").all<AskRow>()).results;
const denials = async (): Promise<unknown[]> =>
  (await readAudit(env.DB, { seam: "capability.denied", limit: 50 })).map((r) => r.details);

async function until<T>(read: () => Promise<T>, good: (value: T) => boolean): Promise<T> {
  for (let i = 0; ; i++) {
    const value = await read();
    if (good(value)) return value;
    if (i > 200) throw new Error(`not seen: ${JSON.stringify(value)}`);
    await new Promise((r) => setTimeout(r, 40));
  }
}

beforeEach(async () => {
  await env.DB.batch(["ask", "audit"].map((t) => env.DB.prepare(`DELETE FROM ${t}`)));
});

describe("a mail of the operator", () => {
  it("becomes one question, is answered, and leaves nothing else of itself", async () => {
    await receive({ id: "<one@mail.example.com>", subject: "secret subject" });
    await receive({ id: "<one@mail.example.com>", body: "changed on the way" });
    const [row] = await until(asks, (a) => a.length > 0 && a.every((x) => x.sent_at !== null));
    expect(await asks()).toHaveLength(1);
    expect(row).toMatchObject({
      source: "email",
      by: "operator",
      question: "Is anything down?",
      thread: "one@mail.example.com",
      state: "answered",
    });
    expect(row!.answer).toContain("by rules");
    const rows = JSON.stringify(await readAudit(env.DB, { limit: 50 }));
    expect(rows).toContain("ask.answered");
    expect(rows).toContain('"channel":"email"');
    expect(rows).not.toMatch(/example\.com|secret subject|Is anything down/);
  });

  it("without words is its subject; without an id it is known by its bytes", async () => {
    const same = { id: null, body: "", subject: "budget?" };
    await receive(same);
    await receive(same);
    const [row] = await asks();
    expect(await asks()).toHaveLength(1);
    expect(row).toMatchObject({ question: "budget?", thread: "" });
  });

  it("is cut at 2,000 characters, and HTML is read as words", async () => {
    await receive({
      headers: ["Content-Type: text/html"],
      body: `<style>b{}</style><p>Is <b>web</b> up?</p><script>x()</script>${"y".repeat(5_000)}`,
    });
    const [row] = await asks();
    expect(row!.question).toMatch(/^Is web up\?/);
    expect(row!.question.length).toBeLessThanOrEqual(2_000);
    expect(row!.question).not.toContain("x()");
  });

  it("is answered in its thread, to the operator's address, as an automatic mail", async () => {
    const id = "mail-reply";
    await insertAsk(
      env.DB,
      { id, source: "email", source_ref: "r@x", thread: "r@x", by: "operator", question: "Is anything down?" },
      Date.now(),
    );
    const out: { from: string; to: string; raw: string }[] = [];
    const EMAIL = {
      send: async (message: { from: string; to: string } & Record<string, unknown>) => {
        const raw = Object.values(message).find((v) => typeof v === "string" && v.includes("\r\n"));
        out.push({
          from: message.from,
          to: message.to,
          raw: String(raw ?? (message as Record<string, unknown>)["EmailMessage::raw"]),
        });
        return { messageId: "x" };
      },
    };
    const runtime = runtimeWith({ EMAIL });
    await processAsk(
      {
        db: env.DB,
        runtime,
        engine: makeEngine(runtime),
        budget: budgetObject(env.BUDGET),
        switches: () => switchboard(env.SWITCHBOARD).readOrStop(),
        remote: async () => [],
      },
      id,
    );
    expect((await readAsk(env.DB, id))!.sent_at).not.toBeNull();
    expect(out).toHaveLength(1);
    expect(out[0]).toMatchObject({ from: "reveille@example.com", to: "operator@example.com" });
    const { raw } = out[0]!;
    expect(raw).toContain("In-Reply-To: <r@x>");
    expect(raw).toContain("Auto-Submitted: auto-generated");
    const body = atob(raw.slice(raw.indexOf("\r\n\r\n")).replace(/\s/g, ""));
    expect(body).toContain("By rules");
  });
});

describe("every other mail is dropped without a bounce", () => {
  it.each<[string, Given, boolean]>([
    ["a stranger", { from: "eve@evil.example", auth: AUTH.replaceAll("example.com", "evil.example") }, false],
    ["no authentication", { auth: "X-None: 1" }, true],
    ["DMARC failed", { auth: AUTH.replace("dmarc=pass", "dmarc=fail") }, true],
    ["another host's word", { auth: AUTH.replace("mx.cloudflare.net", "mx.evil.example") }, true],
    ["a forged pass below our host's fail", { auth: `${AUTH.replace("dmarc=pass", "dmarc=fail")}\r\n${AUTH}` }, true],
    ["two senders", { from: "operator@example.com, eve@evil.example" }, false],
    ["a sender behind a comment", { from: "operator@example.com (eve@evil.example)" }, false],
    ["a second From", { headers: ["From: eve@evil.example"] }, false],
    ["a name that looks like the operator", { from: '"operator@example.com" <eve@evil.example>' }, false],
    ["another recipient", { envelope_to: "someone@example.com" }, true],
    ["allowed but not the operator", { from: "friend@example.com" }, true],
    ["an out-of-office reply", { headers: ["Auto-Submitted: auto-replied"] }, false],
    ["a list", { headers: ["List-Id: <l.example.com>"] }, false],
    ["a bounce", { envelope_from: "", from: "MAILER-DAEMON@example.com" }, false],
    ["no words at all", { body: "", subject: "" }, false],
    ["garbage", { raw: "\u0000\u0001 not a mail" }, false],
    ["more than 1 MiB", { body: "x".repeat(1_100_000) }, false],
  ])("%s", async (_what, given, proven) => {
    await receive(given);
    expect(await asks()).toEqual([]);
    const rows = await denials();
    expect(rows).toHaveLength(proven ? 1 : 0);
    expect(JSON.stringify(rows)).not.toMatch(/example\.com|@/);
  });

  it("and all of them while nobody is allowed", async () => {
    await receive({}, {});
    expect(await asks()).toEqual([]);
    expect(mailSetup(runtimeWith())).toContain("off: REVEILLE_EMAIL_ALLOW");
    expect(mailSetup(runtimeWith(ALLOW))).toBe("set up");
  });
});

it("a store that does not answer makes the sending host try again", async () => {
  const broken = {
    ...vars(ALLOW),
    DB: {
      prepare: () => {
        throw new Error("D1_ERROR: gone");
      },
    },
  };
  await expect(consumer.email(mail(), broken as unknown as ConsumerEnv)).rejects.toThrow("D1_ERROR");
});
