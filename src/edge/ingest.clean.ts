import { secretValues } from "../kernel/config";
import { toBase64, utf8 } from "../kernel/crypto";
import { makeRedactor, type Redactor } from "../kernel/redact";
import type { Runtime } from "../kernel/runtime";
import type { Inbound, Passthrough, Reading } from "../platform";

/**
 * The last look at an event before it is stored (chat-platforms §0 "Redaction"): whatever was stripped from its payload, and
 * whatever is a secret of ours, must not stand in any other field, in any form.
 */

const own = new WeakMap<object, Redactor>();

/** Our own secrets. People paste them into chats. */
function ownSecrets(rt: Runtime): Redactor {
  const found = own.get(rt);
  if (found) return found;
  const made = makeRedactor(secretValues(rt.vars), true);
  own.set(rt, made);
  return made;
}

const stripped = new Map<string, Redactor>();
const MAX_STRIPPED = 32;

/**
 * Of what was stripped. A message of an app has the same each time (Slack's old token), and its forms cost more than all the rest of the
 * look: they are kept. A reading with a credential has its own, and that is not kept.
 */
function strippedSecrets({ secrets, events }: Reading): Redactor {
  if (events.some((e) => e.capabilities.length > 0)) return makeRedactor(secrets, true);
  const key = JSON.stringify(secrets);
  const found = stripped.get(key);
  if (found) return found;
  const made = makeRedactor(secrets, true);
  if (stripped.size >= MAX_STRIPPED) stripped.clear();
  stripped.set(key, made);
  return made;
}

/** The event without a trace of a secret. Capabilities stay: they go to the vault, not with the event. */
export function cleaned(rt: Runtime, reading: Reading, inbound: Inbound): Inbound {
  const redactors = [ownSecrets(rt), ...(reading.secrets.length > 0 ? [strippedSecrets(reading)] : [])];
  const clean = (text: string): string => {
    const shaped = reading.shapes.reduce((out, shape) => out.replace(shape, "<REDACTED>"), text);
    return redactors.reduce((out, r) => r.text(out), shaped);
  };
  const { event, media, passthrough } = inbound;
  const stored = { event, media, passthrough: passthrough && opened(passthrough) };
  const text = JSON.stringify(stored);
  // Most events hold nothing: one look at the whole is enough.
  if (clean(text) === text) return inbound;
  const done = walk(stored, clean);
  return { ...inbound, ...done, passthrough: done.passthrough && closed(done.passthrough) };
}

/** A passthrough's body is base64 of JSON: nothing is found in it, or taken out, as it stands. */
const opened = ({ bodyB64, ...rest }: Passthrough) => ({
  ...rest,
  body: JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(bodyB64), (c) => c.charCodeAt(0)))) as unknown,
});
const closed = ({ body, ...rest }: ReturnType<typeof opened>): Passthrough => ({
  ...rest,
  bodyB64: toBase64(utf8(JSON.stringify(body))),
});

function walk<T>(value: T, clean: (text: string) => string): T {
  if (typeof value === "string") return clean(value) as T;
  if (Array.isArray(value)) return value.map((v) => walk(v, clean)) as T;
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [clean(k), walk(v, clean)])) as T;
  return value;
}
