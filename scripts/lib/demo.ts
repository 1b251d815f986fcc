import { createHmac } from "node:crypto";
import { startPlatforms } from "../../test/support/platforms";
import { startVendors } from "../../test/support/vendors";
import { loginLink } from "./api";
import { readArgs } from "./args";
import { EXIT } from "./exit";
import { openSandbox, type Sandbox, sleep } from "./sandbox";
import { clockText } from "./stream";
import { makeTerm, type Progress, seconds, shortId, type Term } from "./term";

/** `npm run demo`: the whole story in one terminal against the running code. Every step is observed from outside or it is missed. */

const RATE = 10;
const MINUTE_WALL = 60_000 / RATE;
const SIGNING_SECRET = "demo-slack-signing-secret-0001";
const SLACK_TOKEN = "xoxb-demo-slack-token-0001";

type Vendors = Awaited<ReturnType<typeof startVendors>>;
type Platforms = Awaited<ReturnType<typeof startPlatforms>>;

interface Stage {
  term: Term;
  progress: Progress;
  box: Sandbox;
  vendors: Vendors;
  platforms: Platforms;
  missed: number;
  steps: number;
}

interface Target {
  id: string;
  phase: string;
  status: string;
  reason: string;
  incident_id: string | null;
}
interface Incident {
  id: string;
  state: string;
  severity: string;
  category: string;
  title: string;
  confirmed_by: string;
  opened_at: string;
  resolved_at: string | null;
  acked_by: string | null;
  timeline: { at: string; kind: string; source: string; sentence: string }[];
}

/** Waits until `seen` says so. A step that is not seen is printed with what was expected and what was there instead. */
async function step<T>(
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

function line(term: Term, mark: string, name: string, text: string, time: string): string {
  const painted = mark === "MISS" ? term.paint("down", mark) : mark.startsWith("ok") ? term.paint("ok", mark) : mark;
  return `  ${painted} ${name.padEnd(9)} ${text.padEnd(50)}${time ? ` ${time.padStart(7)}` : ""}`;
}

const target = (s: Stage, id: string): Promise<Target> => s.box.api.call<Target>("GET", `/api/v1/targets/${id}`);
const incident = (s: Stage, id: string): Promise<Incident> =>
  s.box.api.call<Incident>("GET", `/api/v1/incidents/${id}`);
const list = async (s: Stage, id: string): Promise<Incident[]> =>
  (await s.box.api.call<{ items: Incident[] }>("GET", `/api/v1/incidents?target_id=${id}`)).items;

/** One fault of one target, from the first bad look to the acked incident. Returns its id. */
async function breakIt(s: Stage, id: string, name: string, how: string): Promise<string | null> {
  await step(
    s,
    "seen",
    name,
    "a first bad look",
    20_000,
    () => target(s, id),
    (t) => (t.phase !== "steady" ? `${how}; looking again` : null),
  );
  const open = await step(
    s,
    "confirm",
    name,
    "an incident",
    60_000,
    () => list(s, id),
    ([i]) => (i ? `${i.confirmed_by}, ${i.severity} ${i.category}` : null),
  );
  const found = open?.[0];
  if (!found) return null;
  const told = await step(
    s,
    "notice",
    name,
    "a Slack message",
    15_000,
    async () => message(s, name),
    (m) => (m ? "told in Slack and inbox" : null),
  );
  if (told) await pressAck(s, name, told);
  await step(
    s,
    "ack",
    name,
    "the button to count",
    10_000,
    () => incident(s, found.id),
    (i) => (i.acked_by ? "acked by the button in Slack" : null),
  );
  return found.id;
}

const recovered = (s: Stage, name: string, id: string | null): Promise<unknown> =>
  id === null
    ? Promise.resolve(null)
    : step(
        s,
        "recover",
        name,
        "two good looks and a notice",
        60_000,
        () => incident(s, id),
        (i) =>
          i.state === "resolved" &&
          s.platforms.ledger().slack.some((m) => m.text.startsWith("● OK again") && m.text.includes(name))
            ? "OK again, told in the same thread"
            : null,
      );

type SlackMessage = ReturnType<Platforms["ledger"]>["slack"][number];
const message = (s: Stage, name: string): SlackMessage | undefined =>
  s.platforms.ledger().slack.find((m) => m.text.includes(name) && m.thread_ts === null);

/** Presses Ack the way Slack reports it: a signed form post with the opaque id of the button. */
async function pressAck(s: Stage, name: string, m: SlackMessage): Promise<void> {
  const buttons = (
    m.blocks as { type: string; elements?: { value?: string; action_id?: string; text?: { text: string } }[] }[]
  )
    .filter((b) => b.type === "actions")
    .flatMap((b) => b.elements ?? []);
  const ack = buttons.find((b) => b.text?.text.startsWith("Ack"));
  const payload = {
    type: "block_actions",
    user: { id: "U0DEMO", username: "ana" },
    trigger_id: `${name}.trigger`,
    container: { message_ts: m.ts, channel_id: m.channel },
    channel: { id: m.channel },
    actions: [{ type: "button", action_id: ack?.action_id, value: ack?.value, action_ts: String(Date.now() / 1000) }],
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

async function watch(s: Stage): Promise<void> {
  const base = s.vendors.url;
  const targets = [
    {
      id: "fly-api",
      name: "fly-api",
      kind: "fly",
      config: { apps: ["api"], api_url: `${base}/fly` },
      credentials: { token: "WATCH_DEMO_TOKEN" },
    },
    {
      id: "fly-web",
      name: "fly-web",
      kind: "fly",
      config: { apps: ["web"], api_url: `${base}/fly` },
      credentials: { token: "WATCH_DEMO_TOKEN" },
    },
    {
      id: "site",
      name: "site",
      kind: "vercel",
      config: { project_ids: ["prj_site"], api_url: `${base}/vercel` },
      credentials: { token: "WATCH_DEMO_TOKEN" },
    },
    { id: "checkout", name: "checkout", kind: "http", config: { url: `${base}/svc/checkout` } },
  ];
  for (const t of targets) await s.box.api.call("POST", "/api/v1/targets", { every: "1m", ...t });
  await s.box.rt.tick();
  for (const t of targets)
    await step(
      s,
      "watch",
      t.name,
      "a healthy look",
      15_000,
      () => target(s, t.id),
      (x) => (x.status === "healthy" ? "healthy" : null),
    );
}

/** Two rounds, so that each vendor misbehaves in one way at a time; within a round the targets break together. */
async function story(s: Stage): Promise<string[]> {
  s.vendors.control({ fly: { mode: "401", only: "/api/" }, svc: { mode: "hang" } });
  say(s, "break", "fly-api: its token is refused (401); checkout: no answer (timeout)");
  const checkout = breakIt(s, "checkout", "checkout", "no answer within 8 s");
  const refused = await breakIt(s, "fly-api", "fly-api", "HTTP 401");
  s.vendors.control({ fly: { mode: "ok" } });
  await recovered(s, "fly-api", refused);

  s.vendors.control({ fly: { mode: "failed_machine", only: "/web/" }, vercel: { mode: "latest_error" } });
  say(s, "break", "fly-web: its machine failed; site: latest production deployment ERROR");
  const [failed, site, hung] = [
    await breakIt(s, "fly-web", "fly-web", "no serving machine"),
    await breakIt(s, "site", "site", "deployment ERROR"),
    await checkout,
  ];
  s.vendors.control({ reset: true });
  say(s, "mend", "everything answers again");
  await recovered(s, "fly-web", failed);
  await recovered(s, "site", site);
  await recovered(s, "checkout", hung);
  return [refused, failed, site, hung].filter((x) => x !== null);
}

function say(s: Stage, name: string, text: string): void {
  s.progress.clear();
  s.term.out(line(s.term, "--  ", name, text, ""));
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
    what: "A local service breaks; it is seen, confirmed, told, acked, and recovers. Nothing leaves this machine.",
    options: { keep: { type: "boolean", what: "stay up afterwards and print the operator link" } },
  });
  const term = makeTerm();
  const began = Date.now();
  term.out(`Reveille demo   local services break; nothing leaves this machine`);
  term.out(`  thresholds as shipped; the clock runs ${RATE} times faster (30 s take 3 s), time-outs are real`);
  const vendors = await startVendors();
  const platforms = await startPlatforms(0, { slackToken: SLACK_TOKEN });
  const box = await openSandbox({
    clockRate: RATE,
    vars: {
      WATCH_DEMO_TOKEN: "demo-vendor-token-0001",
      REVEILLE_SLACK_BOT_TOKEN: SLACK_TOKEN,
      REVEILLE_SLACK_SIGNING_SECRET: SIGNING_SECRET,
      REVEILLE_SLACK_OPERATOR_ID: "U0DEMO",
      REVEILLE_SLACK_API_URL: `${platforms.url}/slack/api`,
    },
  });
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const s: Stage = { term, progress: term.progress(), box, vendors, platforms, missed: 0, steps: 0 };
  // The cron of a fast clock: one tick a Reveille minute, never two at once.
  let ticking: Promise<unknown> = Promise.resolve();
  const cron = setInterval(() => {
    ticking = ticking.then(() => box.rt.tick().catch(() => {}));
  }, MINUTE_WALL);
  try {
    await watch(s);
    const ids = await story(s);
    if (ids[1]) await timeline(s, ids[1]);
    term.out("");
    term.out(`${s.steps - s.missed} of ${s.steps} steps seen in ${seconds(Date.now() - began)}.`);
    if (args.flag("keep") && !stop.signal.aborted) {
      term.out(`Open  ${await loginLink(box.api, box.rt.url)}   (once, within ${10 / RATE} min)   Ctrl-C stops`);
      await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
    }
    return s.missed === 0 ? EXIT.ok : EXIT.missed;
  } finally {
    clearInterval(cron);
    await ticking;
    await box.close();
    await Promise.all([vendors.close(), platforms.close()]);
  }
}
