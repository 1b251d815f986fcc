import { MINUTE, SECOND } from "../kernel/clock";
import { isEnvelopeEnabled } from "../watch";
import { FIX_ACTION, operatorCaller, REASONING, refusalOf, verbFor } from "./autofix";
import {
  abandonFix,
  claimFix,
  expireFix,
  type FixRow,
  finishFix,
  noteBefore,
  readFix,
  refuseFix,
} from "./autofix.store";
import { loadFix, modeOf, type SwitchesNow } from "./fix.load";
import { ask, attempted, DONE, type FixStep, type RunDeps, showAnswer, tell, verify } from "./fix.tell";
import { verbOf } from "./fix.words";
import { actOn, awaitServing, type FlyApi, type MachineNow, readMachine, releaseLease, takeLease } from "./fly";

/** A fix on its way: asked, run, verified, told. Each message does what the row's state needs; the row is the truth. */

/** Wall ms: one call, and the whole wait for the machine. */
const CALL_MS = 10 * SECOND;
const POLL_MS = 60 * SECOND;
/** A run older than this died (its calls take at most two minutes), wall ms. */
const RUN_STALE = 10 * MINUTE;
export const staleRun = (rate: number): number => RUN_STALE * rate;

/** Does the next step of a fix. The same message twice, or two at once, is one effect: every step is won by its row. */
export async function advanceFix(deps: RunDeps, key: string): Promise<FixStep> {
  const row = await readFix(deps.db, key);
  if (!row) return DONE;
  const now = deps.runtime.clock.now();
  switch (row.state) {
    case "planned":
      return tell(deps, row);
    case "waiting":
      return (row.expires_at ?? 0) <= now ? expire(deps, row) : ask(deps, row);
    case "approved":
      return (row.expires_at ?? 0) <= now ? expire(deps, row) : run(deps, row);
    case "running":
      return abandon(deps, row);
    case "denied":
      await showAnswer(deps, row, "denied");
      return DONE;
    case "expired":
      await showAnswer(deps, row, "expired");
      return DONE;
    case "done":
      return row.outcome === null ? verify(deps, row) : tell(deps, row);
    case "failed":
    case "unknown_outcome":
      return tell(deps, row);
    default:
      row.state satisfies never;
      return DONE;
  }
}

async function expire(deps: RunDeps, row: FixRow): Promise<FixStep> {
  const proof = attempted(deps, row, null, { status: "rejected", code: "expired" });
  if (await expireFix(deps.db, row.key, deps.runtime.clock.now(), proof)) await showAnswer(deps, row, "expired");
  return DONE;
}

/** A run that died after it took the row: nobody can tell whether the request left. It is told, and never tried again. */
async function abandon(deps: RunDeps, row: FixRow): Promise<FixStep> {
  const now = deps.runtime.clock.now();
  const startedBy = now - staleRun(deps.runtime.clock.rate);
  if ((row.started_at ?? 0) > startedBy) return DONE;
  const proof = attempted(deps, row, null, { status: "unknown_outcome", before: row.before_state });
  await abandonFix(deps.db, row.key, startedBy, now, proof);
  const after = await readFix(deps.db, row.key);
  return after?.state === "unknown_outcome" ? tell(deps, after) : DONE;
}

interface Ended {
  state: "done" | "failed";
  sent: boolean;
  before: MachineNow | null;
  after: MachineNow | null;
  error: string | null;
  lease: string | null;
}

async function run(deps: RunDeps, row: FixRow): Promise<FixStep> {
  const { db, runtime } = deps;
  const began = runtime.clock.wall();
  const caller = row.mode === "auto" ? REASONING : operatorCaller(row.by ?? "operator");
  const loaded = await loadFix(deps, deps.switches, {
    incident_id: row.incident_id,
    action: FIX_ACTION,
    target_id: row.machine,
    caller,
    key: row.key,
    asked_before: null,
  });
  const category = loaded.incident?.category ?? null;
  const refusal = refusalOf(loaded.facts) ?? modeRefusal(deps.switches, row) ?? requestRefusal(row, loaded.api_url);
  if (refusal) {
    const proof = attempted(deps, row, category, { status: "rejected", code: refusal.code });
    if (await refuseFix(db, row.key, refusal.message, runtime.clock.now(), proof)) {
      await showAnswer(deps, row, "refused", refusal.message);
      const refused = await readFix(db, row.key);
      if (refused) return tell(deps, refused);
    }
    return DONE;
  }
  const mine = await claimFix(db, row.key, runtime.clock.now());
  if (!mine) return DONE;
  await showAnswer(deps, mine, "approved");
  const api: FlyApi = {
    api: loaded.api_url,
    app: mine.app,
    machine: mine.machine,
    token: deps.write_token,
    allow: runtime.config.allowPrivate,
    redact: runtime.redact,
    call_ms: deps.call_ms ?? CALL_MS,
  };
  const end = await execute(deps, mine, api);
  const duration_ms = runtime.clock.wall() - began;
  const proof = attempted(deps, mine, category, {
    status: end.state === "done" ? "attempted" : "execution_failed",
    before: end.before?.kept ?? null,
    after: end.after?.kept ?? null,
    duration_ms,
    sent: end.sent,
    ...(end.error === null ? {} : { error: end.error }),
  });
  await finishFix(
    db,
    mine.key,
    {
      ...end,
      before: end.before && { ...JSON.parse(mine.before_state ?? "{}"), ...end.before.kept },
      after: end.after?.kept ?? null,
      now: runtime.clock.now(),
    },
    proof,
  );
  runtime.log("info", "autofix.ran", { key: mine.key, state: end.state, sent: end.sent, ms: duration_ms });
  const finished = await readFix(db, mine.key);
  if (finished?.state === "done") return verify(deps, finished);
  return finished?.state === "failed" ? tell(deps, finished) : DONE;
}

/** The operator's word as it is now: an approval does not outlive the mode it was given in. */
function modeRefusal(switches: SwitchesNow, row: FixRow): { code: string; message: string } | null {
  const mode = modeOf(switches, row.probe);
  if (mode === "dry_run") return { code: "mode_changed", message: "The envelope went back to dry run." };
  return row.mode === "auto" && mode !== "auto"
    ? { code: "mode_changed", message: "The envelope asks first now." }
    : null;
}

/** What was approved is what leaves: another `api_url` since then is another request. */
function requestRefusal(row: FixRow, apiUrl: string): { code: string; message: string } | null {
  const { url } = JSON.parse(row.request) as { url: string };
  return url.startsWith(`${apiUrl.replace(/\/+$/, "")}/v1/`)
    ? null
    : { code: "request_changed", message: "The target's api_url was changed since the fix was asked for." };
}

const GOES: Record<string, string> = {
  serving: "The machine serves again already.",
  idle: "The machine idles by design.",
  changing: "The machine is changing by itself right now.",
  leaving: "The machine is being destroyed.",
};

/** Lease, last looks, one write, wait. The lease is given back whatever happens. */
async function execute(deps: RunDeps, row: FixRow, api: FlyApi): Promise<Ended> {
  const { wall } = deps.runtime.clock;
  const verb = verbOf(row);
  const not = (error: string, more: Partial<Ended> = {}): Ended => ({
    state: "failed",
    sent: false,
    before: null,
    after: null,
    error,
    lease: null,
    ...more,
  });
  const lease = await takeLease(api);
  if (!lease.ok) return not(`No lease: ${lease.error}.`);
  let before: MachineNow | null = null;
  let note: string | null = null;
  let refused: string | null = null;
  let released = "released";
  try {
    const seen = await readMachine(api, wall());
    if (!seen.ok) return not(`The machine could not be read: ${seen.error}.`);
    before = seen.value;
    if (before.role !== "unhealthy") return not(GOES[before.role] ?? `The machine is ${before.state}.`, { before });
    if (verbFor(before.state) !== verb)
      return not(`The machine is ${before.state} now; what was asked for was a ${verb}.`, { before });
    await noteBefore(deps.db, row.key, { ...JSON.parse(row.before_state ?? "{}"), ...before.kept });
    const stop = lastWord(await deps.readSwitches(), deps, row);
    if (stop) return not(stop, { before });
    const sent = await actOn(api, verb, lease.value);
    if (!sent.ok && sent.kind === "guarded") return not(sent.error, { before });
    if (!sent.ok && sent.kind === "refused") refused = sent.error;
    // No answer, or a 5xx: it may have been applied. It is never sent again; what the machine does now tells.
    else if (!sent.ok) note = sent.error;
  } finally {
    const back = await releaseLease(api, lease.value);
    if (!back.ok) {
      released = "not released, ends by itself";
      deps.runtime.log("warn", "autofix.lease_kept", { key: row.key, error: back.error });
    }
  }
  // Told after the lease was given back, so that the row says what became of it.
  if (refused !== null) return { state: "failed", sent: true, before, after: null, error: refused, lease: released };
  const poll = deps.poll_ms ?? Math.max(5 * SECOND, Math.min(POLL_MS, deps.runtime.clock.span(POLL_MS)));
  const after = await awaitServing(api, before.state, poll, wall);
  return { state: "done", sent: true, before, after: after?.machine ?? null, error: note, lease: released };
}

/** The switchboard right before the write; unreadable = killed. */
function lastWord(now: SwitchesNow, deps: RunDeps, row: FixRow): string | null {
  if (now.killed) return now.unreadable ? "The switchboard can't be read." : "Autofix was killed meanwhile.";
  const envelopes = Object.fromEntries(Object.entries(now.envelopes).map(([k, v]) => [k, v.enabled]));
  if (!isEnvelopeEnabled(row.probe, deps.runtime.vars, { killed: now.killed, envelopes }))
    return "The envelope was turned off meanwhile.";
  return modeRefusal(now, row)?.message ?? null;
}
