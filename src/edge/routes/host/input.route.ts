import { Hono } from "hono";
import { agentObject } from "../../../../durable-objects/agent.do";
import { hostTrust, mayShowCode } from "../../../../durable-objects/host";
import { sessionObject } from "../../../../durable-objects/session.stub";
import { describe } from "../../../kernel/errors";
import { readCapped } from "../../../kernel/http";
import {
  type Ended,
  frameValue,
  inputProblem,
  LEDGER_DOWN,
  readFrame,
  USED,
  usableSessionId,
  type Verified,
  verifyEnvelope,
} from "../../../session";
import { type AppEnv, type Ctx, runtime } from "../../kit";
import { answer, callerIp, limited, NO_ADDRESS, no, ownAddress, TOO_MANY } from "./shared";

/** `POST /input` (`connectonion.md` (b)): one signed prompt, answered in the response. */

const MAX_BODY = 1_048_576;
/** How long a response waits for a run; the run goes on without it. Wall ms. */
const WAIT = 150_000;
const TURN = 25_000;

async function input(c: Ctx): Promise<Response> {
  const full = await limited(c, "input");
  if (full) return full;
  const address = await ownAddress(c);
  if (address === null) return no(NO_ADDRESS);
  const { bytes, truncated } = await readCapped(c.req.raw.body, MAX_BODY);
  if (truncated) return answer(413, { error: `body too large: at most ${MAX_BODY} bytes` });
  const read = readFrame(new TextDecoder().decode(bytes));
  if (!read.ok) return answer(400, { error: read.error });
  const { clock } = runtime(c);
  const verified = await verifyEnvelope(read.frame, { now_s: clock.wall() / 1000, address, requireOneUse: true });
  if (!verified.ok) return no(verified.error);
  const { prompt, invite_code, payment } = verified.payload;
  // Counted before it is looked at: past the limit a right guess must look like a wrong one.
  const shows = invite_code !== undefined || payment !== undefined;
  if (shows && !(await mayShowCode(c.env, callerIp(c)))) return answer(429, TOO_MANY);
  const used = await claimOnce(c, address, verified);
  if (used) return no(used);
  const { success } = await c.env.SESSION_LIMIT.limit({ key: `address:${verified.from}` });
  if (!success) return answer(429, TOO_MANY);
  const trust = await hostTrust(c.env, runtime(c), {
    client_id: verified.from,
    situation: "input",
    ...(typeof invite_code === "string" ? { invite_code } : {}),
    ...(payment === undefined ? {} : { payment_proof: payment }),
  });
  if (!trust.allow)
    return no(/^(?:forbidden|misconfigured)/.test(trust.reason) ? trust.reason : `forbidden: ${trust.reason}`);
  const value = frameValue(read.frame);
  const wrong = inputProblem({ ...value, prompt });
  return wrong === null ? run(c, verified.from, prompt as string, value["session"]) : no(wrong);
}

async function claimOnce(c: Ctx, address: string, v: Verified): Promise<string | null> {
  const { signature_hash, expires_s, has_nonce } = v;
  try {
    const now_s = runtime(c).clock.wall() / 1000;
    const claim = await agentObject(c.env.AGENT, address).claim(
      { signature_hash, expires_s, ts_shape: false, has_nonce },
      now_s,
    );
    return claim === "fresh" ? null : claim === "down" ? LEDGER_DOWN : USED.http;
  } catch (error) {
    runtime(c).log("error", "input.ledger_down", { error: describe(error) });
    return LEDGER_DOWN;
  }
}

async function run(c: Ctx, from: string, prompt: string, session: unknown): Promise<Response> {
  const named = (session as { session_id?: unknown } | null | undefined)?.session_id;
  const id = usableSessionId(named) ?? crypto.randomUUID();
  const submitted = await sessionObject(c.env.SESSION, id).submit(from, id, prompt, null, session ?? null);
  if (submitted.state === "not_found") return answer(404, { error: "Session not found", code: -32002 });
  if (submitted.state === "busy")
    return answer(409, { error: "Session is busy", code: -32000, data: { retryable: true } });
  const ended = await wait(c, id, submitted.run_id);
  if (ended === null)
    return answer(504, { error: "still running", session_id: id, hint: `The run goes on: GET /sessions/${id}` });
  if (ended.status !== "done") return answer(500, { error: "Unable to run agent", code: -32603, session_id: id });
  const { result, duration_ms, chat_items } = ended;
  return answer(200, {
    session_id: id,
    status: "done",
    result,
    duration_ms,
    session: ended.session,
    chat_items,
    server_newer: false,
  });
}

/** Waits for a run's end in turns, so that the object's restart only costs one. */
async function wait(c: Ctx, id: string, runId: string): Promise<Ended | null> {
  const { clock, log } = runtime(c);
  const until = clock.wall() + WAIT;
  let failures = 0;
  while (clock.wall() < until && failures < 5) {
    try {
      const ended = await sessionObject(c.env.SESSION, id).waitFor(runId, Math.min(TURN, until - clock.wall()));
      if (ended) return ended;
    } catch (error) {
      failures++;
      log("warn", "input.wait_failed", { session: id, error: describe(error) });
    }
  }
  return null;
}

export const inputRoutes = new Hono<AppEnv>();
inputRoutes.post("/input", input);
