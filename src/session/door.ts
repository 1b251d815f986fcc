import type { DoorPorts, LineState, TrustAnswer } from "./door.types";
import { errorFrame, inputProblem, PROMPT_REQUIRED } from "./door.words";
import { ADMIN_ACTIONS, CLIENT_FRAME_TYPES, readClientFrame, UNSIGNED_ALWAYS } from "./frames";
import { LEDGER_DOWN, USED } from "./ledger";
import { MAX_ANSWER } from "./run";
import { type Verified, verifyCommand, verifyEnvelope } from "./signing";
import { frameValue, readFrame, type WireFrame } from "./wire";

/**
 * The door of a session: who is on a line, and what of its frames may pass (`connectonion.md` (a) and (c)). It serves all three
 * generations of clients. What passes goes to the session's home, wherever that is.
 */

/** What a signature adds to a command. */
const MAX_ENVELOPE = 1_024;

const TOO_MANY_LINES = "rate limited: too many connections, wait a minute";
const TOO_MANY_TRIES = "rate limited: too many tries, wait a minute";

/** Names of objects that are no client's session. */
const RESERVED = /^(?:chat|ledger|signer|input):/;
const SESSION_ID = /^[\x21-\x7e]{1,128}$/;

/** The session id a client may use as it is; anything else gets a fresh one, like a foreign id. */
export const usableSessionId = (value: unknown): string | null =>
  typeof value === "string" && SESSION_ID.test(value) && !RESERVED.test(value) ? value : null;

/** One frame of a line. Frames of a line must come one after the other. Never throws for what a client sent. */
export async function onFrame(line: LineState, raw: string, p: DoorPorts): Promise<void> {
  const read = readFrame(raw);
  if (!read.ok) return refuse(line, read.error, p);
  const { frame } = read;
  const value = frameValue(frame);
  switch (frame.type) {
    case "PONG":
      return;
    case "PING":
      return p.say({ type: "PONG" });
    case "CONNECT":
      return connect(line, frame, value, p);
    case "ONBOARD_SUBMIT":
      return onboard(line, frame, p);
    case "SESSION_STATUS":
      return sessionStatus(line, value, p);
  }
  if (Object.hasOwn(ADMIN_ACTIONS, frame.type)) return admin(line, frame, p);
  // What nobody defined is ignored, as upstream does.
  if (!CLIENT_FRAME_TYPES.has(frame.type)) return;
  if (line.from === null) {
    if (frame.type === "INPUT" && typeof value["payload"] === "object") return signedInput(line, frame, value, p);
    return p.say(errorFrame("authenticate first (send CONNECT)"));
  }
  await command(line, frame, value, p);
}

/** A refusal before anybody is known ends the line; afterwards a run may be under way, so it stays. */
function refuse(line: LineState, error: string, p: DoorPorts, more: object = {}): void {
  p.refused(error);
  p.say({ ...errorFrame(error), ...more });
  if (error.startsWith("frame too large")) p.close(1009, "frame too large");
  else if (line.from === null) p.close(closeCode(error), error.slice(0, 100));
}

const closeCode = (error: string): number =>
  error.startsWith("unauthorized")
    ? 4401
    : error.startsWith("forbidden")
      ? 4403
      : error.startsWith("rate")
        ? 4429
        : 4400;

async function claim(
  p: DoorPorts,
  verified: Verified,
  used: string,
  owns?: () => Promise<boolean>,
): Promise<string | null> {
  try {
    if ((await p.claim(verified)) !== "refused") return null;
    if (owns && (await owns()) && (await p.claim(verified, true)) !== "refused") return null;
    return used;
  } catch {
    return LEDGER_DOWN;
  }
}

async function connect(line: LineState, frame: WireFrame, value: Record<string, unknown>, p: DoorPorts): Promise<void> {
  const shape = readClientFrame(value);
  if (shape.kind === "invalid") return refuse(line, shape.error, p);
  const address = await p.address();
  if (address === null) return refuse(line, "misconfigured: this host has no address (REVEILLE_AGENT_SEED)", p);
  const verified = await verifyEnvelope(frame, { now_s: p.now_s(), address, requireTo: true });
  if (!verified.ok) return refuse(line, verified.error, p);
  if (!(await p.mayTry(line, "connect"))) return refuse(line, TOO_MANY_LINES, p);
  const { from } = verified;
  const named = typeof value["session_id"] === "string" && value["session_id"] !== "" ? value["session_id"] : null;
  if (line.from !== null && !sameConnection(line, verified, named))
    return p.say(errorFrame("already authenticated: open a new connection"));
  const usable = usableSessionId(named);
  const owns = usable === null ? undefined : async () => (await p.ownerOf(usable)) === from;
  const used = await claim(p, verified, USED.connect, owns);
  if (used !== null) return refuse(line, used, p);
  if (!(await p.mayConnect(from))) return refuse(line, TOO_MANY_LINES, p);
  const trust = await p.trust({ client_id: from, situation: "connect" });
  if (trust.allow) return admit(line, { verified, value, named }, trust, p);
  if (trust.onboard === null) return refuse(line, words(trust.reason), p);
  p.hold(line.id, frame.raw);
  p.save(Object.assign(line, { held: from, from: null }));
  p.say(onboardRequired(from, trust.onboard));
}

const words = (reason: string): string =>
  /^(?:forbidden|misconfigured)/.test(reason) ? reason : `forbidden: ${reason}`;

const onboardRequired = (identity: string, o: NonNullable<TrustAnswer["onboard"]>): object => ({
  type: "ONBOARD_REQUIRED",
  identity,
  methods: o.methods,
  ...(o.payment_amount === undefined ? {} : { payment_amount: o.payment_amount }),
});

const sameConnection = (line: LineState, v: Verified, named: string | null): boolean =>
  line.from === v.from &&
  line.to === v.to &&
  line.signed === v.signed_commands &&
  (named === line.named || named === line.home);

interface Connect {
  verified: Pick<Verified, "from" | "to" | "signed_commands">;
  value: Record<string, unknown>;
  named: string | null;
}

/** Attaches an authenticated line to the session it names, or to this object's own when that one is another's. */
async function admit(line: LineState, c: Connect, trust: TrustAnswer, p: DoorPorts): Promise<void> {
  const { from, to, signed_commands } = c.verified;
  Object.assign(line, {
    from,
    to,
    signed: signed_commands,
    level: trust.level,
    admin: trust.admin,
    named: c.named,
    held: null,
    each: false,
  });
  const last = c.value["last_msg_id"];
  await attach(line, line.path === "direct" ? line.own : usableSessionId(c.named), c.value["session"], p, {
    announce: true,
    last_msg_id: typeof last === "string" || typeof last === "number" ? last : null,
  });
}

async function attach(
  line: LineState,
  wanted: string | null,
  session: unknown,
  p: DoorPorts,
  more: { announce: boolean; last_msg_id: string | number | null },
): Promise<void> {
  const rest = {
    from: line.from!,
    session: session ?? null,
    replay: line.path === "direct" ? "all" : "run",
    ...more,
  } as const;
  const at = async (home: string): Promise<boolean> => {
    p.save(Object.assign(line, { home, epoch: null, n: 0, seq: 0, sent: 0 }), true);
    return p.attach(home, line, { ...rest, session_id: home });
  };
  if (wanted !== null && (await at(wanted))) return;
  // Foreign and unknown look the same: a fresh session, and nothing of the other.
  const fresh = line.path === "direct" || wanted === line.own ? crypto.randomUUID() : line.own;
  await at(fresh);
}

async function onboard(line: LineState, frame: WireFrame, p: DoorPorts): Promise<void> {
  const address = await p.address();
  const verified = await verifyEnvelope(frame, {
    now_s: p.now_s(),
    requireOneUse: true,
    ...(address === null ? {} : { address }),
  });
  if (!verified.ok) return p.say(errorFrame(verified.error));
  if (line.held !== null && line.held !== verified.from)
    return p.say(errorFrame("unauthorized: onboarding signer does not own this connection"));
  const { invite_code, payment } = verified.payload;
  // Counted before it is looked at: past the limit a right guess must look like a wrong one.
  const guess = invite_code !== undefined || payment !== undefined;
  if (!(await p.mayTry(line, guess ? "code" : "connect"))) {
    p.refused(TOO_MANY_TRIES);
    p.say(errorFrame(TOO_MANY_TRIES));
    return p.close(4429, TOO_MANY_TRIES);
  }
  const used = await claim(p, verified, USED.command);
  if (used !== null) return p.say(errorFrame(used));
  if (!guess) return p.say(errorFrame("invite_code or payment required"));
  const trust = await p.trust({
    client_id: verified.from,
    situation: "onboard",
    ...(typeof invite_code === "string" ? { invite_code } : {}),
    ...(payment === undefined ? {} : { payment_proof: payment }),
  });
  if (!trust.allow) return p.say(errorFrame(trust.level === "blocked" ? "forbidden: blocked" : trust.reason));
  p.say({
    type: "ONBOARD_SUCCESS",
    identity: verified.from,
    level: trust.level,
    message: "Welcome. You are now a contact.",
  });
  const raw = line.held === null ? null : p.held(line.id);
  // A first-generation client resends its INPUT by itself.
  if (raw === null) return;
  const held = readFrame(raw);
  p.hold(line.id, null);
  if (!held.ok) return;
  const value = frameValue(held.frame);
  const payload = (value["payload"] ?? {}) as Record<string, unknown>;
  line.skip_empty = true;
  const named = typeof value["session_id"] === "string" ? value["session_id"] : null;
  // It was verified and claimed when it came; only its refusal by trust has changed.
  const kept = { from: verified.from, to: address, signed_commands: payload["signed_commands"] === 1 };
  await admit(line, { verified: kept, value, named }, trust, p);
}

async function sessionStatus(line: LineState, value: Record<string, unknown>, p: DoorPorts): Promise<void> {
  const given = (value["session"] as { session_id?: unknown } | null | undefined)?.session_id ?? value["session_id"];
  const id = usableSessionId(given);
  const status = line.from === null || id === null ? "not_found" : await p.statusFor(id, line.from);
  p.say({ type: "SESSION_STATUS", session_id: typeof given === "string" ? given.slice(0, 256) : null, status });
}

async function admin(line: LineState, frame: WireFrame, p: DoorPorts): Promise<void> {
  const address = await p.address();
  const verified = await verifyEnvelope(frame, {
    now_s: p.now_s(),
    requireOneUse: true,
    ...(address === null ? {} : { address }),
  });
  if (!verified.ok) return p.say(errorFrame(verified.error));
  if (!(await p.mayTry(line, "connect"))) return refuse(line, TOO_MANY_TRIES, p);
  const used = await claim(p, verified, USED.command);
  if (used !== null) return p.say(errorFrame(used));
  p.say(await p.admin(line, verified, ADMIN_ACTIONS[frame.type as keyof typeof ADMIN_ACTIONS]));
}

/** A first-generation client: no handshake, each INPUT signed. What was signed is what runs. */
async function signedInput(
  line: LineState,
  frame: WireFrame,
  value: Record<string, unknown>,
  p: DoorPorts,
): Promise<void> {
  const address = await p.address();
  if (address === null) return refuse(line, "misconfigured: this host has no address (REVEILLE_AGENT_SEED)", p);
  const verified = await verifyEnvelope(frame, { now_s: p.now_s(), address });
  if (!verified.ok) return refuse(line, verified.error, p);
  if (!(await p.mayTry(line, "connect"))) return refuse(line, TOO_MANY_LINES, p);
  const trust = await p.trust({ client_id: verified.from, situation: "input" });
  if (!trust.allow) {
    if (trust.onboard === null) return refuse(line, words(trust.reason), p);
    return p.say(onboardRequired(verified.from, trust.onboard));
  }
  if (!(await p.mayConnect(verified.from))) return refuse(line, "rate limited: too many inputs, wait a minute", p);
  // Claimed after trust: the INPUT that asked for onboarding comes again, maybe within the same second.
  const used = await claim(p, verified, USED.command);
  if (used !== null) return refuse(line, used, p);
  const prompt = verified.payload["prompt"];
  const wrong = inputProblem({ ...value, prompt });
  if (wrong !== null) return p.say(errorFrame(wrong));
  const session = value["session"] as Record<string, unknown> | null | undefined;
  const named = usableSessionId(session?.["session_id"] ?? value["session_id"]);
  const { from, to } = verified;
  Object.assign(line, { from, to, level: trust.level, admin: trust.admin, named, each: true });
  await attach(line, line.path === "direct" ? line.own : named, session, p, { announce: false, last_msg_id: null });
  await input(line, { ...value, prompt }, p);
  p.save(line);
}

async function command(line: LineState, frame: WireFrame, value: Record<string, unknown>, p: DoorPorts): Promise<void> {
  let acted = value;
  const enveloped = "payload" in value || "signature" in value;
  if (line.signed && !UNSIGNED_ALWAYS.has(frame.type)) {
    const verified = await verifyCommand(frame, {
      now_s: p.now_s(),
      caller: line.from!,
      ...(line.to === null ? {} : { address: line.to }),
    });
    if (!verified.ok) return p.say(errorFrame(verified.error));
    const used = await claim(p, verified, USED.command);
    if (used !== null) return p.say(errorFrame(used));
    acted = verified.payload;
  } else if (line.each && frame.type === "INPUT" && !enveloped) {
    return p.say(errorFrame("unauthorized: signed request required"));
  } else if (enveloped && frame.type === "INPUT") {
    const address = await p.address();
    const verified = await verifyEnvelope(frame, { now_s: p.now_s(), ...(address === null ? {} : { address }) });
    if (!verified.ok) return p.say(errorFrame(verified.error));
    if (verified.from !== line.from)
      return p.say(errorFrame("unauthorized: command signer does not own this connection"));
    const used = await claim(p, verified, USED.command);
    if (used !== null) return p.say(errorFrame(used));
    acted = { ...value, prompt: verified.payload["prompt"] };
  }
  const shape = readClientFrame({ ...acted, type: frame.type });
  if (shape.kind === "invalid") return p.say(errorFrame(shape.error));
  // Standing may have changed since CONNECT, and blocked is always first.
  const { blocked, level, admin } = await p.standing(line.from!);
  if (blocked) {
    p.say(errorFrame("forbidden: blocked"));
    return p.close(4403, "forbidden: blocked");
  }
  Object.assign(line, { level, admin });
  if (frame.type === "INPUT") return input(line, acted, p);
  if (JSON.stringify(acted).length > MAX_ANSWER + MAX_ENVELOPE)
    return p.say(errorFrame(`${frame.type} too long: at most ${MAX_ANSWER} characters`));
  await pass(line, { ...(shape.kind === "known" ? shape.frame : acted), type: frame.type }, p);
}

async function input(line: LineState, value: Record<string, unknown>, p: DoorPorts): Promise<void> {
  const prompt = value["prompt"];
  const wrong = inputProblem(value);
  if (wrong === PROMPT_REQUIRED && line.skip_empty) return p.save(Object.assign(line, { skip_empty: false }));
  if (wrong !== null) return p.say(errorFrame(wrong));
  await pass(line, { type: "INPUT", prompt, input_id: value["input_id"] }, p);
}

const pass = (line: LineState, frame: Record<string, unknown> & { type: string }, p: DoorPorts): Promise<void> =>
  p.command(line, {
    from: line.from!,
    may_approve: line.level === "contact" || line.level === "whitelist" || line.admin,
    frame: { ...frame, session_id: line.home },
  });
