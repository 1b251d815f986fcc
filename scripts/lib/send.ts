import { join, resolve } from "node:path";
import { readVar } from "../../src/kernel/config";
import { startPlatforms } from "../../test/support/platforms";
import { type Api, ApiError, operatorApi } from "./api";
import { type Parsed, readArgs } from "./args";
import { EXIT, Exit } from "./exit";
import { ROOT } from "./paths";
import { readPort } from "./port";
import { SAMPLE_APP, signWebhook, standInPort, standInTokens } from "./sample";
import { authorOf, type Fixture, freshBody, listFixtures, PLATFORMS, readFixture } from "./sample.fixtures";
import { sleep } from "./sandbox";
import { type Answering, gatewaysOf, type Home, makeHome, SAMPLE_INSTANCE, startGateway } from "./send.gateway";
import { makeTerm, type Term } from "./term";
import { localVars, readVarsFile } from "./vars";

/** `npm run send -- PLATFORM SAMPLE`: a correctly signed webhook to the edge that runs here, and every step of its way. */

const ROW_MS = 4_000;
const ACK_MS = 15_000;
const REPLY_MS = 10_000;

const SPEC = {
  command: "npm run send --",
  what: "Sends a signed sample webhook to the local edge and shows its way. Needs no account: npm start is enough.",
  positionals: ["PLATFORM", "SAMPLE"],
  options: {
    text: { type: "string", value: "TEXT", what: "the words instead of the sample's own" },
    user: { type: "string", value: "ID", what: "the author's id instead of the sample's" },
    instance: { type: "string", value: "ID", what: `deliver to this instance (default ${SAMPLE_INSTANCE})` },
    tenant: { type: "string", value: "ID", what: "its tenant, when there are several" },
    gateway: { type: "boolean", what: "start a scripted gateway even where one is connected" },
    list: { type: "boolean", what: "list all samples" },
  },
  notes: [
    "",
    `  platforms: ${PLATFORMS.join(", ")}; message is on each, and besides the listed ones`,
    "  bad_signature   refused with 401 or 403: exit code 0 when it is",
    "  duplicate       the same webhook twice: stored once",
    "",
    `  Samples are events of an app of their own, "${SAMPLE_APP}": its secrets exist on this machine alone, and its`,
    "  platform is a stand-in that runs for the moment. Your real apps are another matter: docs/platforms/.",
  ],
} as const;

interface Delivery {
  seq: number;
  state: string;
  app: string;
  attempts: number;
  verified_at: string;
  stored_at: string;
  sent_at: string | null;
  acked_at: string | null;
  answered_at: string | null;
  why: string | null;
}

interface Run {
  term: Term;
  api: Api;
  base: string;
  shown: string;
  token: string;
  dataDir: string;
  args: Parsed;
}

export async function main(argv?: string[]): Promise<number> {
  const args = readArgs({ ...SPEC, positionals: [...SPEC.positionals], notes: [...SPEC.notes] }, argv);
  const term = makeTerm();
  const [platform, name = "message"] = args.positionals;
  if (args.flag("list") || platform === undefined) {
    term.out("npm run send -- PLATFORM SAMPLE");
    for (const line of [...listFixtures(), "  any       bad_signature                Refused by its signature"])
      term.out(line);
    term.out("  any       duplicate                    The same webhook twice");
    return EXIT.ok;
  }
  if (!PLATFORMS.includes(platform))
    throw new Exit(EXIT.usage, `"${platform}" is no platform: ${PLATFORMS.join(", ")}.`);
  const vars = localVars(readVarsFile(join(ROOT, ".dev.vars")), process.env);
  const port = readPort(readVar(vars, "PORT"));
  const token = readVar(vars, "REVEILLE_OPERATOR_TOKEN");
  const base = `http://127.0.0.1:${port}`;
  const shown = vars["REVEILLE_PUBLIC_URL"]?.trim().replace(/\/+$/, "") || `http://localhost:${port}`;
  if (!token) throw new Exit(EXIT.environment, "No OPERATOR_TOKEN in .dev.vars.  Make one:  npm start");
  const run: Run = {
    term,
    api: operatorApi(base, token),
    base,
    shown,
    token,
    dataDir: resolve(ROOT, readVar(vars, "REVEILLE_DATA_DIR")),
    args,
  };
  const special = name === "bad_signature" || name === "duplicate" ? name : null;
  const fixture = readFixture(platform, special ? "message" : name);
  try {
    await run.api.call("GET", "/api/v1/tenants");
  } catch (error) {
    if (error instanceof ApiError) throw new Exit(EXIT.missed, `${base} refused: ${error.message}`);
    throw new Exit(EXIT.environment, `Nothing answers at ${base}.  Start it:  npm start`);
  }
  try {
    return special === "bad_signature" ? await refused(run, fixture) : await journey(run, fixture, special !== null);
  } catch (error) {
    if (error instanceof ApiError) throw new Exit(EXIT.missed, error.message);
    throw error;
  }
}

const ms = (n: number): string => (n < 1_000 ? `${Math.max(0, Math.round(n))} ms` : `${(n / 1_000).toFixed(2)} s`);

function step(term: Term, ok: boolean, name: string, text: string, time = ""): void {
  const mark = ok ? term.paint("ok", "ok  ") : term.paint("down", "MISS");
  term.out(`  ${mark} ${name.padEnd(9)} ${time ? `${text.padEnd(62)} ${time.padStart(8)}` : text}`);
}

interface Posted {
  status: number;
  at: number;
  took: number;
}

/** Posts the bytes with their proof, or with a proof of other bytes. */
async function post(run: Run, f: Fixture, made: ReturnType<typeof freshBody>, broken = false): Promise<Posted> {
  const path = `/webhooks/${f.platform}/${SAMPLE_APP}${f.tail ? `/${f.tail}` : ""}`;
  const { headers, how } = signWebhook(broken ? `not ${run.token}` : run.token, f.platform, made.body, {
    url: `${run.shown}${path}`,
    form: made.form,
  });
  run.term.out(`  ->   POST ${path}   ${broken ? "wrong " : ""}${how}, ${Buffer.byteLength(made.body)} bytes`);
  const at = Date.now();
  const began = performance.now();
  const response = await fetch(run.base + path, { method: "POST", headers, body: made.body });
  await response.arrayBuffer();
  return { status: response.status, at, took: performance.now() - began };
}

async function refused(run: Run, f: Fixture): Promise<number> {
  const { status, took } = await post(run, f, freshBody(f, {}), true);
  const ok = status === 401 || status === 403;
  step(run.term, ok, "refused", `${status}${ok ? ": nothing was read or stored" : ", expected 401 or 403"}`, ms(took));
  return ok ? EXIT.ok : EXIT.missed;
}

async function journey(run: Run, f: Fixture, twice: boolean): Promise<number> {
  const { term, api, args } = run;
  const instance = args.text("instance") ?? SAMPLE_INSTANCE;
  const source = f.expect.events?.[0]?.event.source;
  const author = args.text("user") ?? authorOf(f);
  term.out(`${f.platform} ${f.name}: ${f.what}`);
  const scope = source?.scope_id ?? `bot:${SAMPLE_APP}`;
  const to = await makeHome(api, { platform: f.platform, author, scope, tenant: args.text("tenant"), instance });
  const platforms = await startPlatforms(standInPort(Number(new URL(run.base).port)), standInTokens(run.token)).catch(
    () => null,
  );
  if (!platforms)
    throw new Exit(
      EXIT.environment,
      `Port ${standInPort(Number(new URL(run.base).port))}, for the platform's stand-in, is taken.  Is another npm run send at work?`,
    );
  let answering: Answering | null = null;
  try {
    const began = performance.now();
    const check = await api.call<{ bot_id: string | null; state: string }>(
      "POST",
      `/api/v1/platforms/${f.platform}/check`,
      { app: SAMPLE_APP },
    );
    if (check.bot_id === null)
      throw new Exit(
        EXIT.environment,
        `The edge at ${run.base} has no sample app; it is made by npm start.  Restart it:  npm start`,
      );
    const there = (await gatewaysOf(api, to)).some((g) => (g.live?.sockets ?? 0) > 0);
    if (args.flag("gateway") || (!there && instance === SAMPLE_INSTANCE)) {
      answering = await startGateway(api, run.base, run.dataDir, to, { platform: f.platform, bot_id: check.bot_id });
      step(term, true, "gateway", `a scripted gateway dialled in: ${answering.id}`, ms(performance.now() - began));
    }
    return await watch(run, f, to, twice, answering, () => JSON.stringify(platforms.ledger()));
  } finally {
    answering?.gateway.stop();
    await platforms.close();
  }
}

/** The event's row, once `seen` says so; the last one that was there when time is over. */
async function rowOf(
  run: Run,
  to: Home,
  since: number,
  limit: number,
  seen: (d: Delivery) => boolean,
): Promise<Delivery[]> {
  const end = Date.now() + limit;
  const path = `/api/v1/deliveries?tenant=${encodeURIComponent(to.tenant)}&instance=${encodeURIComponent(to.instance)}&limit=20`;
  for (;;) {
    const { items } = await run.api.call<{ items: Delivery[] }>("GET", path);
    const mine = items.filter((d) => d.app === SAMPLE_APP && Date.parse(d.verified_at) >= since);
    if ((mine.length > 0 && mine.every(seen)) || Date.now() > end) return mine;
    await sleep(30);
  }
}

async function watch(
  run: Run,
  f: Fixture,
  to: Home,
  twice: boolean,
  answering: Answering | null,
  ledger: () => string,
): Promise<number> {
  const { term, args } = run;
  const made = freshBody(f, { text: args.text("text"), user: args.text("user") });
  const { status, at, took } = await post(run, f, made);
  const fine = status >= 200 && status < 300;
  step(term, fine, fine ? "verified" : "refused", `answered ${status}`, ms(took));
  if (!fine) return EXIT.missed;
  if (twice) await post(run, f, made);
  const wanted = (f.expect.events ?? []).some((e) => !e.own && !e.event.source.is_bot);
  if (!wanted) {
    const [row] = await rowOf(run, to, at, 300, () => true);
    const why = f.expect.ignored ?? "our own message, or another bot's";
    step(
      term,
      !row,
      row ? "stored" : "nothing",
      row ? `expected none (${why})` : `stored nothing, as it should be: ${why}`,
    );
    return row ? EXIT.missed : EXIT.ok;
  }
  const [stored, ...more] = await rowOf(run, to, at, ROW_MS, () => true);
  const since = (time: string | null): string => (time ? `+ ${ms(Date.parse(time) - at)}` : "");
  if (!stored) {
    step(term, false, "stored", `no event of it reached ${to.instance}.  Look: ${run.shown}/platforms`);
    return EXIT.missed;
  }
  step(term, true, "stored", `durable before the answer, for ${to.tenant}/${to.instance}`, since(stored.stored_at));
  if (twice)
    step(term, more.length === 0, "duplicate", `the second one was told and not stored; ${1 + more.length} row`);
  const page = `${run.shown}/deliveries/${encodeURIComponent(to.tenant)}/${encodeURIComponent(to.instance)}/${stored.seq}`;
  const there = answering !== null || (await gatewaysOf(run.api, to)).some((g) => g.live?.state !== "dead");
  if (!there) {
    term.out(`  ..   ${to.instance} has no gateway that is on: the event waits for it.  ${page}`);
    return EXIT.ok;
  }
  const [row] = await rowOf(run, to, at, ACK_MS, (d) => d.acked_at !== null || d.state === "dead");
  if (row?.sent_at) step(term, true, "sent", "to the gateway's newest socket, in order", since(row.sent_at));
  step(
    term,
    Boolean(row?.acked_at),
    "acked",
    row?.acked_at ? "by the gateway" : (row?.why ?? `no ack in ${ACK_MS / 1000} s`),
    since(row?.acked_at ?? null),
  );
  const replied = !answering || !row?.acked_at ? true : await reply(run, answering, at, ledger);
  term.out(`  Its way: ${page}`);
  return row?.acked_at && replied && (!twice || more.length === 0) ? EXIT.ok : EXIT.missed;
}

async function reply(run: Run, answering: Answering, at: number, ledger: () => string): Promise<boolean> {
  const result = await Promise.race([answering.result, sleep(REPLY_MS).then(() => null)]);
  const arrived = ledger().includes(answering.reply);
  const what = arrived
    ? `"${answering.reply}" at the platform's stand-in`
    : `not at the stand-in: ${String(result?.["error"] ?? `no result in ${REPLY_MS / 1000} s`)}`;
  step(run.term, arrived, "reply", what, `+ ${ms(Date.now() - at)}`);
  const crossed =
    JSON.stringify(answering.gateway.frames).includes(run.token) ||
    Object.values(standInTokens(run.token)).some((t) => JSON.stringify(answering.gateway.frames).includes(t));
  step(
    run.term,
    !crossed,
    "secrets",
    crossed
      ? "a credential was in a frame"
      : `no credential in the ${answering.gateway.frames.length} frames the gateway got`,
  );
  return arrived && !crossed;
}
