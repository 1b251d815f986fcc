import { Hono } from "hono";
import { targetObject } from "../../../durable-objects/target.do";
import { auditStatement } from "../../audit";
import { readVar } from "../../kernel/config";
import { clip, describe, ReveilleError } from "../../kernel/errors";
import { readCapped } from "../../kernel/http";
import type { Runtime } from "../../kernel/runtime";
import { type BeatKind, readBeatToken, readStates, readTarget, recordBeat, type Target } from "../../watch";
import { type AppEnv, type Ctx, onError, runtime } from "../kit";

/** Of a job's output only the start is read; of that only a line is kept. */
const MAX_BODY = 10 * 1024;
const MAX_NOTE = 200;
/** Dropped from the end of a body that was cut, so that no half of a secret stays. */
const CUT = 1_024;

/** One answer for every URL that is not a heartbeat's, so that nothing can be learnt by trying. */
const unknownUrl = (): Response => new Response("Not a heartbeat URL.\n", { status: 404 });

/** Control characters would end up on pages and terminals. */
const printable = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, " ").trim();

async function readNote(c: Ctx, { redact }: Runtime): Promise<string | null> {
  const { bytes, truncated } = await readCapped(c.req.raw.body, MAX_BODY);
  const body = new TextDecoder().decode(bytes);
  // A cut secret would not be recognised: what the cap may have cut goes first, and the note is cut only after redaction.
  const text = printable(redact.text(truncated ? body.slice(0, -CUT) : body));
  return text === "" ? null : clip(text, MAX_NOTE);
}

/** `GET|POST|HEAD /beat/{token}[/start|/fail|/{exit code}]`: 200 only after the beat is stored. */
async function beat(c: Ctx, token: string, kind: BeatKind, exitCode: number | null): Promise<Response> {
  const rt = runtime(c);
  const key = readVar(rt.vars, "REVEILLE_BEAT_KEY");
  if (!key)
    throw new ReveilleError({
      status: 503,
      code: "unconfigured",
      message: "REVEILLE_BEAT_KEY is not set, so heartbeat URLs can't be checked.",
      hint: "Set it, then copy the URLs from the target pages again.",
    });
  const { success } = await c.env.BEAT_LIMIT.limit({ key: `beat:${token.slice(0, 100)}` });
  if (!success)
    throw new ReveilleError({
      status: 429,
      code: "too_many_beats",
      message: "This heartbeat came more than 60 times in a minute.",
    });
  const target = await store(c, rt, key, token, kind, exitCode);
  if (!target) return unknownUrl();
  c.executionCtx.waitUntil(
    lookAgain(c, target, kind).catch((e) =>
      rt.log("error", "beat.look_failed", { target: target.id, error: describe(e) }),
    ),
  );
  return new Response("OK", { headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" } });
}

/** Finds the target and stores the beat; null when the URL is nobody's. */
async function store(
  c: Ctx,
  rt: Runtime,
  key: string,
  token: string,
  kind: BeatKind,
  exitCode: number | null,
): Promise<Target | null> {
  const target = await readBeatToken(key, token, (id) => readTarget(c.env.DB, id));
  if (target?.kind !== "heartbeat") return null;
  const at = rt.clock.now();
  const note = await readNote(c, rt);
  await recordBeat(c.env.DB, target.num, kind, at, note ?? (exitCode ? `exit code ${exitCode}` : null));
  if (kind === "fail") await auditFail(c, rt, target, at, exitCode, note);
  return target;
}

async function auditFail(
  c: Ctx,
  rt: Runtime,
  target: Target,
  at: number,
  exit_code: number | null,
  note: string | null,
) {
  await auditStatement(c.env.DB, {
    at,
    seam: "heartbeat.failed",
    source: "api",
    details: rt.redact.json({ target: target.id, exit_code, note }),
  }).run();
}

/** A failed job is looked at now; any other beat only when the target is not known to be well. The beat is stored either way. */
async function lookAgain(c: Ctx, target: Target, kind: BeatKind): Promise<void> {
  if (target.paused) return;
  const object = targetObject(c.env.TARGET, target.id);
  if (kind === "fail") {
    await object.look(target.id);
    return;
  }
  const state = (await readStates(c.env.DB, [target.id])).get(target.id);
  if (state && (state.phase !== "steady" || state.status !== "healthy")) await object.nudge(target.id);
}

const METHODS = ["GET", "HEAD", "POST"];

export const beatRoutes = new Hono<AppEnv>();
beatRoutes.onError((error, c) => {
  if (error instanceof ReveilleError) return onError(error, c);
  // The general handler logs the path, and here the path is the credential.
  runtime(c).log("error", "beat.unstored", { error: describe(error) });
  const code = "store_unavailable";
  return onError(
    new ReveilleError({ status: 503, code, message: "The beat was not stored.", hint: "Send it again." }),
    c,
  );
});
beatRoutes.all("/beat/:token/:what?", (c) => {
  if (!METHODS.includes(c.req.method))
    return new Response(null, { status: 405, headers: { allow: METHODS.join(", ") } });
  const what = c.req.param("what");
  const token = c.req.param("token");
  if (what === undefined) return beat(c, token, "success", null);
  if (what === "start" || what === "fail") return beat(c, token, what, null);
  if (!/^\d{1,3}$/.test(what) || Number(what) > 255) return unknownUrl();
  return beat(c, token, Number(what) === 0 ? "success" : "fail", Number(what));
});
