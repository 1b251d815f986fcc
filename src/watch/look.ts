import { readCredential } from "../kernel/config";
import { clip, describe } from "../kernel/errors";
import { makeRedactor, type Redactor } from "../kernel/redact";
import type { Runtime } from "../kernel/runtime";
import { readMemory, writeMemory } from "./memory.store";
import { LOOK_DEADLINE_MS, type Outcome, type ProbeContext } from "./probe";
import { PROBES, REMEMBERING } from "./probes/index";
import { bad } from "./probes/outcome";
import { bindingsOf } from "./probes/setup";
import type { Json, Snapshot, Target } from "./types";

const STRING_MAX = 200;
const DETAILS_MAX = 2_048;
const ERROR_MAX = 300;

export interface LookOptions {
  /** Wall ms for the whole look; default LOOK_DEADLINE_MS. */
  deadline_ms?: number;
}

/** Hides what the runtime knows to be secret and, whatever its name is, every credential of this target. */
function redactorFor(target: Target, runtime: Runtime): Redactor {
  const values = Object.values(bindingsOf(target)).flatMap((name) => readCredential(runtime.vars, name) ?? []);
  if (values.length === 0) return runtime.redact;
  const own = makeRedactor(values);
  return {
    text: (value) => own.text(runtime.redact.text(value)),
    json: (value) => own.json(runtime.redact.json(value)),
  };
}

const bytes = (value: Json): number => new TextEncoder().encode(JSON.stringify(value)).length;

function clipStrings(value: Json, max: number): Json {
  if (typeof value === "string") return clip(value, max);
  if (Array.isArray(value)) return value.map((v) => clipStrings(v, max));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [clip(k, 80), clipStrings(v, max)]));
  return value;
}

/** Drops the last entry of the largest list or map inside; false when nothing is left to drop. */
function dropOne(value: Json): boolean {
  if (typeof value !== "object" || value === null) return false;
  const inner = Object.values(value)
    .filter((v) => typeof v === "object" && v !== null && Object.keys(v).length > 0)
    .sort((a, b) => bytes(b) - bytes(a))[0];
  if (inner !== undefined && bytes(inner) > bytes(value) / 2 && dropOne(inner)) return true;
  if (Array.isArray(value)) return value.pop() !== undefined;
  const last = Object.keys(value).at(-1);
  if (last === undefined) return false;
  delete value[last];
  return true;
}

/** Details of at most 2 KiB of JSON: texts are cut first, then lists and maps lose their last entries. */
export function fitDetails(details: Record<string, Json>): Record<string, Json> {
  let fitted = clipStrings(details, STRING_MAX) as Record<string, Json>;
  if (bytes(fitted) <= DETAILS_MAX) return fitted;
  fitted = clipStrings(details, 80) as Record<string, Json>;
  if (bytes(fitted) <= DETAILS_MAX) return fitted;
  while (bytes(fitted) > DETAILS_MAX - 20 && dropOne(fitted));
  return { ...fitted, cut: true };
}

/** Redacts first and cuts afterwards: a token cut in two would no longer be recognised. */
function seal(outcome: Outcome, redact: Redactor): Outcome {
  const line =
    outcome.error === null
      ? null
      : redact
          .text(outcome.error)
          .replace(/[\p{Cc}\p{Cf}\s]+/gu, " ")
          .trim();
  return {
    ...outcome,
    ...(outcome.signal ? { signal: clip(redact.text(outcome.signal), 60) } : {}),
    details: fitDetails(redact.json(outcome.details)),
    error: line === null ? null : clip(line, ERROR_MAX),
  };
}

/** A probe that heeds the signal may say more than we can, so it gets this long after the deadline, ms. */
const LAST_WORD_MS = 50;

/** The probe's outcome, or what stands for it when it threw or did not end in time: never healthy. */
async function runProbe(ctx: ProbeContext, abort: AbortController, deadline_ms: number): Promise<Outcome> {
  const timers: ReturnType<typeof setTimeout>[] = [setTimeout(() => abort.abort(), deadline_ms)];
  const late = new Promise<Outcome>((resolve) => {
    const text = `No answer within ${deadline_ms / 1_000} s.`;
    const give = (): void => resolve(bad("unknown", "unreachable", text, { signal: "timeout" }));
    timers.push(setTimeout(give, deadline_ms + LAST_WORD_MS));
  });
  const look = (async () => PROBES[ctx.target.kind](ctx))().catch((error: unknown) => {
    ctx.runtime.log("error", "probe.threw", { target: ctx.target.id, kind: ctx.target.kind, error: describe(error) });
    return bad("unknown", "unreachable", `The look failed: ${describe(error)}`, { signal: "probe_error" });
  });
  try {
    return await Promise.race([look, late]);
  } finally {
    for (const timer of timers) clearTimeout(timer);
    // Whatever the probe left open (a body, a second page) ends with the look.
    abort.abort();
  }
}

/**
 * One look at a target: reads what its kind remembers, runs its probe under the deadline, hides secrets, keeps the new memory.
 * Never throws: an error in the probe is `unknown`/`unreachable` with signal `probe_error` (`kora-watch.md` §1, §1.6).
 */
export async function lookAt(
  target: Target,
  runtime: Runtime,
  db: D1Database,
  opts: LookOptions = {},
): Promise<Snapshot> {
  const at = runtime.clock.now();
  const deadline_ms = opts.deadline_ms ?? LOOK_DEADLINE_MS;
  const redact = redactorFor(target, runtime);
  const remembers = REMEMBERING.has(target.kind);
  let memory: Json | null = null;
  let memoryRead = false;
  if (remembers)
    try {
      memory = await readMemory(db, target.num);
      memoryRead = true;
    } catch (error) {
      runtime.log("error", "probe.memory_unreadable", { target: target.id, error: describe(error) });
    }
  const abort = new AbortController();
  let kept: Json | null = null;
  const ctx: ProbeContext = {
    target,
    runtime: { ...runtime, redact },
    db,
    at,
    signal: abort.signal,
    memory,
    remember: (data) => {
      kept = data;
    },
  };
  const outcome = await runProbe(ctx, abort, deadline_ms);
  // Without the old memory the new one would forget seven days of totals.
  if (memoryRead && kept !== null && JSON.stringify(kept) !== JSON.stringify(memory))
    await writeMemory(db, target.num, redact.json<Json>(kept), at).catch((error: unknown) =>
      runtime.log("error", "probe.memory_unwritable", { target: target.id, error: describe(error) }),
    );
  return { at, ...seal(outcome, redact) };
}
