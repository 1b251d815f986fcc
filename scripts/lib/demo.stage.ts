import { createHmac } from "node:crypto";
import type { startLlm } from "../../test/support/llm";
import type { startPlatforms } from "../../test/support/platforms";
import type { startVendors } from "../../test/support/vendors";
import { type Sandbox, sleep } from "./sandbox";
import { type Progress, seconds, type Term } from "./term";

/** The stage of the demo: what every step uses, how a step is seen or missed, and how a person presses a button in Slack. */

export const SIGNING_SECRET = "demo-slack-signing-secret-0001";

export type Vendors = Awaited<ReturnType<typeof startVendors>>;
export type Platforms = Awaited<ReturnType<typeof startPlatforms>>;
export type Llm = Awaited<ReturnType<typeof startLlm>>;

export interface Stage {
  term: Term;
  progress: Progress;
  box: Sandbox;
  vendors: Vendors;
  platforms: Platforms;
  llm: Llm;
  missed: number;
  steps: number;
}

export interface Target {
  id: string;
  phase: string;
  status: string;
}
export interface Fix {
  key: string;
  state: string;
  mode: string;
  machine: string;
  outcome: string | null;
  request: { method?: string; url?: string };
}
export interface Incident {
  id: string;
  state: string;
  severity: string;
  category: string;
  title: string;
  confirmed_by: string;
  acked_by: string | null;
  timeline: { at: string; kind: string; source: string; sentence: string }[];
  investigation: { error: string | null; guess: boolean; usd: number | null } | null;
  fixes: Fix[];
}

export const target = (s: Stage, id: string): Promise<Target> => s.box.api.call<Target>("GET", `/api/v1/targets/${id}`);
export const incident = (s: Stage, id: string): Promise<Incident> =>
  s.box.api.call<Incident>("GET", `/api/v1/incidents/${id}`);
export const incidentsOf = async (s: Stage, id: string): Promise<Incident[]> =>
  (await s.box.api.call<{ items: Incident[] }>("GET", `/api/v1/incidents?target_id=${id}`)).items;

/** Waits until `seen` says so. A step that is not seen is printed with what was expected and what was there instead. */
export async function step<T>(
  s: Stage,
  name: string,
  what: string,
  expected: string,
  limitMs: number,
  look: () => Promise<T>,
  seen: (value: T) => string | null,
): Promise<T | null> {
  const began = Date.now();
  s.steps++;
  let last: T | null = null;
  while (Date.now() - began < limitMs) {
    last = await look();
    const said = seen(last);
    if (said !== null) {
      s.progress.clear();
      s.term.out(line(s.term, "ok  ", name, `${what}, ${said}`, seconds(Date.now() - began)));
      return last;
    }
    s.progress.update("..", `${name.padEnd(9)} ${what}: waiting for ${expected}   ${seconds(Date.now() - began)}`);
    await sleep(100);
  }
  s.missed++;
  s.progress.clear();
  const shown = JSON.stringify(last)?.slice(0, 160) ?? "nothing";
  s.term.out(line(s.term, "MISS", name, `${what}: expected ${expected} within ${seconds(limitMs)}, saw ${shown}`, ""));
  return null;
}

/** A line that only tells what happens next. */
export function say(s: Stage, name: string, text: string): void {
  s.progress.clear();
  s.term.out(line(s.term, "--  ", name, text, ""));
}

function line(term: Term, mark: string, name: string, text: string, time: string): string {
  const painted = mark === "MISS" ? term.paint("down", mark) : mark.startsWith("ok") ? term.paint("ok", mark) : mark;
  return `  ${painted} ${name.padEnd(9)} ${time ? `${text.padEnd(52)} ${time.padStart(7)}` : text}`;
}

export type SlackMessage = ReturnType<Platforms["ledger"]>["slack"][number];

export const rootOf = (s: Stage, name: string): SlackMessage | undefined =>
  s.platforms.ledger().slack.find((m) => m.text.includes(name) && m.thread_ts === null);

/** A reply in the thread of a target's first message, by the words it holds. */
export function replyOf(s: Stage, name: string, words: RegExp): SlackMessage | undefined {
  const root = rootOf(s, name);
  return s.platforms.ledger().slack.find((m) => root && m.thread_ts === root.ts && words.test(m.text));
}

interface Element {
  value?: string;
  action_id?: string;
  text?: { text: string };
}

/** Presses a button the way Slack reports it: a signed form post that carries only the button's opaque id. */
export async function press(s: Stage, m: SlackMessage, label: string): Promise<void> {
  const blocks = m.blocks as { type: string; elements?: Element[] }[];
  const buttons = blocks.filter((b) => b.type === "actions").flatMap((b) => b.elements ?? []);
  const found = buttons.find((b) => b.text?.text.startsWith(label));
  const payload = {
    type: "block_actions",
    user: { id: "U0DEMO", username: "ana" },
    trigger_id: `${m.ts}.${label}`,
    container: { message_ts: m.ts, channel_id: m.channel },
    channel: { id: m.channel },
    actions: [
      { type: "button", action_id: found?.action_id, value: found?.value, action_ts: String(Date.now() / 1000) },
    ],
  };
  const body = `payload=${encodeURIComponent(JSON.stringify(payload))}`;
  const ts = String(Math.floor(Date.now() / 1000));
  const mac = createHmac("sha256", SIGNING_SECRET).update(`v0:${ts}:${body}`).digest("hex");
  await s.box.rt.fetch("/webhooks/slack/demo/interactions", {
    method: "POST",
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      "x-slack-request-timestamp": ts,
      "x-slack-signature": `v0=${mac}`,
    },
    body,
  });
}
