import { startLlm } from "../../test/support/llm";
import { startPlatforms } from "../../test/support/platforms";
import { startVendors } from "../../test/support/vendors";
import { loginLink } from "./api";
import { readArgs } from "./args";
import { connector, SAMPLE_SLACK_TOKEN } from "./demo.connector";
import {
  type Fix,
  type Incident,
  incident,
  incidentsOf,
  press,
  replyOf,
  rootOf,
  SIGNING_SECRET,
  type Stage,
  say,
  step,
  target,
} from "./demo.stage";
import { talk } from "./demo.talk";
import { ABOUT, PUBLIC_URL, wake } from "./demo.wake";
import { EXIT } from "./exit";
import { sampleVars } from "./sample";
import { openSandbox, SANDBOX_VARS } from "./sandbox";
import { clockText } from "./stream";
import { makeTerm, seconds, shortId } from "./term";

/** `npm run demo`: the whole story in one terminal against the running code. Every step is observed from outside or it is missed. */

const RATE = 10;
const MINUTE_WALL = 60_000 / RATE;
/** The machine that the local Fly service breaks (test/support/vendor-replies.ts). */
const MACHINE = "148e21c9a45678";

/** What the scripted model answers to every investigation. Its fix is kept only where the incident's own facts name the machine. */
const EXPLANATION = JSON.stringify({
  summary: "The looks fail since the first bad one [E1]; nothing was wrong before it [E2].",
  evidence: ["E1", "E2"],
  confidence: 0.82,
  likely_cause: "the last release, which came a moment earlier",
  next_step: "restart the machine, then compare the last two releases",
  proposed_action: { action: "restart_unhealthy_machine", target_id: MACHINE, reason: "its only machine failed" },
});

/** One fault of one target, from the first bad look to the notice. Returns its incident. */
async function breakIt(s: Stage, id: string, how: string): Promise<string | null> {
  await step(
    s,
    "seen",
    id,
    "a first bad look",
    20_000,
    () => target(s, id),
    (t) => (t.phase !== "steady" ? `${how}; looking again` : null),
  );
  const open = await step(
    s,
    "confirm",
    id,
    "an incident",
    60_000,
    () => incidentsOf(s, id),
    ([i]) => (i ? `${i.confirmed_by}, ${i.severity} ${i.category}` : null),
  );
  const found = open?.[0];
  if (!found) return null;
  await step(
    s,
    "notice",
    id,
    "a Slack message",
    15_000,
    async () => rootOf(s, id),
    (m) => (m ? "told in Slack and inbox" : null),
  );
  await step(
    s,
    "explain",
    id,
    "a reply in the thread",
    20_000,
    async () => replyOf(s, id, /Why|guess/i),
    (m) => (m ? "why, with evidence, in the thread" : null),
  );
  return found.id;
}

async function ack(s: Stage, id: string, incidentId: string | null): Promise<void> {
  const root = rootOf(s, id);
  if (incidentId === null || !root) return;
  await press(s, root, "Ack");
  await step(
    s,
    "ack",
    id,
    "the button to count",
    10_000,
    () => incident(s, incidentId),
    (i) => (i.acked_by ? "acked by the button in Slack" : null),
  );
}

const recovered = (s: Stage, id: string, incidentId: string | null): Promise<unknown> =>
  incidentId === null
    ? Promise.resolve(null)
    : step(
        s,
        "recover",
        id,
        "two good looks and a notice",
        60_000,
        () => incident(s, incidentId),
        (i) => (i.state === "resolved" && replyOf(s, id, /^● OK again/) ? "OK again, told in the same thread" : null),
      );

async function watch(s: Stage): Promise<void> {
  const base = s.vendors.url;
  const credentials = { token: "WATCH_DEMO_TOKEN" };
  const targets = [
    { id: "fly-api", kind: "fly", config: { apps: ["api"], api_url: `${base}/fly` }, credentials },
    { id: "fly-web", kind: "fly", config: { apps: ["web"], api_url: `${base}/fly` }, credentials },
    { id: "site", kind: "vercel", config: { project_ids: ["prj_site"], api_url: `${base}/vercel` }, credentials },
    { id: "checkout", kind: "http", config: { url: `${base}/svc/checkout` } },
  ];
  for (const t of targets) await s.box.api.call("POST", "/api/v1/targets", { name: t.id, every: "1m", ...t });
  await s.box.rt.tick();
  for (const t of targets)
    await step(
      s,
      "watch",
      t.id,
      "a healthy look",
      15_000,
      () => target(s, t.id),
      (x) => (x.status === "healthy" ? "healthy" : null),
    );
}

const fixMode = (s: Stage, mode: "dry_run" | "approve"): Promise<unknown> =>
  s.box.api.call("PATCH", "/api/v1/switchboard", { envelopes: { fly: { enabled: true, mode } } });

const fixOf = (i: Incident, mode: string): Fix | undefined => i.fixes.find((f) => f.mode === mode);

/** First the envelope only says what it would send; then a person approves it once, and the outcome is verified. */
async function repair(s: Stage, id: string, incidentId: string | null): Promise<void> {
  if (incidentId === null) return;
  const dry = await step(
    s,
    "dry run",
    id,
    "the request that would be sent",
    20_000,
    () => incident(s, incidentId),
    (i) =>
      fixOf(i, "dry_run") ? `would ${fixOf(i, "dry_run")?.request.method} …/${MACHINE.slice(0, 6)}…, not sent` : null,
  );
  if (!dry) return;
  await fixMode(s, "approve");
  await s.box.api.call("POST", `/api/v1/incidents/${incidentId}/fix`, {
    action: "restart_unhealthy_machine",
    target_id: MACHINE,
    reason: "the dry run looks right",
    by: "ana",
  });
  const asked = await step(
    s,
    "ask",
    id,
    "Approve and Deny in the thread",
    15_000,
    async () => replyOf(s, id, /Approve one action/),
    (m) => (m ? "Approve and Deny in the thread, 15 min" : null),
  );
  if (asked) await press(s, asked, "Approve");
  await step(
    s,
    "fix",
    id,
    "a verified outcome",
    40_000,
    () => incident(s, incidentId),
    (i) => {
      const fix = fixOf(i, "approve");
      return fix?.state === "done" ? `approved by ana, restarted once, verified: ${fix.outcome}` : null;
    },
  );
}

/** Two rounds, so that each vendor misbehaves in one way at a time; within a round the targets break together. */
async function story(s: Stage): Promise<string[]> {
  s.vendors.control({ fly: { mode: "401", only: "/api/" }, svc: { mode: "hang" } });
  say(s, "break", "fly-api: its token is refused (401); checkout: no answer (timeout)");
  const checkout = breakIt(s, "checkout", "no answer within 8 s");
  const refused = await breakIt(s, "fly-api", "HTTP 401");
  await ack(s, "fly-api", refused);
  s.vendors.control({ fly: { mode: "ok" } });
  await recovered(s, "fly-api", refused);

  await fixMode(s, "dry_run");
  s.vendors.control({
    fly: { mode: "failed_machine", only: "/web/", fix: "restart_fixes" },
    vercel: { mode: "latest_error" },
  });
  say(s, "break", "fly-web: its machine failed; site: latest production deployment ERROR");
  const site = breakIt(s, "site", "deployment ERROR");
  const failed = await breakIt(s, "fly-web", "no serving machine");
  await repair(s, "fly-web", failed);
  await recovered(s, "fly-web", failed);
  await ack(s, "site", await site);
  await ack(s, "checkout", await checkout);
  s.vendors.control({ vercel: { mode: "ok" }, svc: { mode: "ok" } });
  say(s, "mend", "site and checkout answer again");
  await recovered(s, "site", await site);
  await recovered(s, "checkout", await checkout);
  return [failed, refused, await site, await checkout].filter((x) => x !== null);
}

/** The agent answers from live rows; it is asked what anyone would ask. */
async function ask(s: Stage): Promise<void> {
  interface Ask {
    id: string;
    state: string;
    answer: { text: string; engine: string } | null;
  }
  const asked = await s.box.api.call<{ id: string }>("POST", "/api/v1/asks", { question: "is anything down?" });
  await step(
    s,
    "agent",
    "is anything down?",
    "an answer from live state",
    20_000,
    () => s.box.api.call<Ask>("GET", `/api/v1/asks/${asked.id}`),
    (a) => (a.answer ? `answered ${a.answer.engine}` : null),
  );
}

async function timeline(s: Stage, id: string): Promise<void> {
  const i = await incident(s, id);
  s.term.out("");
  s.term.out(`  Timeline of ${shortId(i.id)}   ${i.title}`);
  for (const row of i.timeline.filter((r) => r.kind !== "look"))
    s.term.out(`  ${clockText(Date.parse(row.at))}  ${row.source.padEnd(9)} ${row.sentence}`.slice(0, 140));
}

export async function main(): Promise<number> {
  const args = readArgs({
    command: "npm run demo --",
    what: "Local services break; it is seen, told, explained, fixed with approval, and recovers. Then clients and agents talk and wake each other. Nothing leaves this machine.",
    options: { keep: { type: "boolean", what: "stay up afterwards and print the operator link" } },
  });
  const term = makeTerm();
  const began = Date.now();
  term.out(`Reveille demo   local services break; nothing leaves this machine`);
  term.out(`  thresholds as shipped; the clock runs ${RATE} times faster (30 s take 3 s), time-outs are real`);
  term.out(
    `  Slack, the vendors and the model are local servers; the model's words are scripted; any client may talk (trust: open)`,
  );
  const vendors = await startVendors();
  const platforms = await startPlatforms(0, { slackToken: SAMPLE_SLACK_TOKEN });
  const llm = await startLlm(0, { about: ABOUT });
  llm.control({ otherwise: { mode: "good", text: EXPLANATION } });
  const box = await openSandbox({
    clockRate: RATE,
    vars: {
      WATCH_DEMO_TOKEN: "demo-vendor-token-0001",
      REVEILLE_SLACK_BOT_TOKEN: SAMPLE_SLACK_TOKEN,
      REVEILLE_SLACK_SIGNING_SECRET: SIGNING_SECRET,
      REVEILLE_SLACK_OPERATOR_ID: "U0DEMO",
      REVEILLE_SLACK_API_URL: `${platforms.url}/slack/api`,
      REVEILLE_ANTHROPIC_API_KEY: "demo-model-key-000000001",
      REVEILLE_ANTHROPIC_BASE_URL: `${llm.url}/v1`,
      ...sampleVars(SANDBOX_VARS["REVEILLE_OPERATOR_TOKEN"]!, platforms.url),
      REVEILLE_VAULT_KEY: "5a".repeat(32),
      REVEILLE_GATEWAY_KEY: "c3".repeat(32),
      REVEILLE_FLY_WRITE_TOKEN: "demo-fly-write-token-0001",
      REVEILLE_AGENT_SEED: "de".repeat(32),
      REVEILLE_TRUST_POLICY: "open",
      REVEILLE_HOOK_KEY: "0d".repeat(32),
      REVEILLE_PUBLIC_URL: PUBLIC_URL,
    },
  });
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const s: Stage = { term, progress: term.progress(), box, vendors, platforms, llm, missed: 0, steps: 0 };
  // The cron of a fast clock: one tick a Reveille minute, never two at once.
  let ticking: Promise<unknown> = Promise.resolve();
  const cron = setInterval(() => {
    ticking = ticking.then(() => box.rt.tick().catch(() => {}));
  }, MINUTE_WALL);
  try {
    await watch(s);
    const ids = await story(s);
    await ask(s);
    await talk(s);
    await wake(s);
    await connector(s);
    if (ids[0]) await timeline(s, ids[0]);
    term.out("");
    term.out(`${s.steps - s.missed} of ${s.steps} steps seen in ${seconds(Date.now() - began)}.`);
    if (args.flag("keep") && !stop.signal.aborted) {
      const link = await loginLink(box.api, box.rt.url);
      term.out(`Open  ${link}   (once, within ${10 / RATE} min)   Ctrl-C stops`);
      await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
    }
    return s.missed === 0 ? EXIT.ok : EXIT.missed;
  } finally {
    clearInterval(cron);
    await ticking;
    await box.close();
    await Promise.all([vendors.close(), platforms.close(), llm.close()]);
  }
}
