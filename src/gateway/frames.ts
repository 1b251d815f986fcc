import * as z from "zod";
import { concat, utf8 } from "../kernel/crypto";
import type { MessageEvent, OpResult } from "../platform";
import type { Descriptor } from "./descriptor";

/** Frames between a gateway and us: JSON lines over WebSocket messages (hermes-relay §2). */

/** A gateway closes on more than 1 MiB; what we send stays below that with room for its own framing (§1.5). Bytes. */
export const MAX_OUT = 900 * 1024;
/** What of one frame may be sent to us, bytes. */
export const MAX_IN = 1024 * 1024;

export type OutFrame =
  | { type: "descriptor"; descriptor: Descriptor }
  | { type: "inbound"; event: MessageEvent; bufferId: string }
  | { type: "passthrough_forward"; forward: Record<string, unknown>; bufferId: string }
  | { type: "outbound_result"; requestId: string; result: OpResult }
  | { type: "interrupt_inbound"; session_key: string; chat_id: string }
  | { type: "going_idle_ack" };

/**
 * A frame as it goes down a socket: one line, always with its end, without which a gateway never reads it (§2). Null when it
 * is larger than a gateway takes.
 */
export function frameText(frame: OutFrame): string | null {
  // A client that splits at every kind of line end must not see one inside a frame.
  const text = JSON.stringify(frame).replace(
    /[\u0085\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  const fits = text.length * 3 < MAX_OUT || utf8(text).length < MAX_OUT;
  return fits ? `${text}\n` : null;
}

/** The one way a frame leaves. `gone`: the socket was closed meanwhile, which its close event tells. */
export function writeFrame(ws: Pick<WebSocket, "send">, frame: OutFrame): "sent" | "oversize" | "gone" {
  const text = frameText(frame);
  if (text === null) return "oversize";
  try {
    ws.send(text);
    return "sent";
  } catch {
    return "gone";
  }
}

/** What was received: whole lines, and the bytes of one that is not whole yet. `null` line: no UTF-8. */
export interface Received {
  lines: (string | null)[];
  rest: Uint8Array;
  /** A frame is larger than `MAX_IN`: close with 1009. */
  oversize: boolean;
}

export const NOTHING = new Uint8Array();
const LF = 10;

function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    return null;
  }
}

/** Adds one WebSocket message to what was left of the ones before. A message may hold several frames, a frame span several. */
export function receiveLines(rest: Uint8Array, data: string | ArrayBuffer): Received {
  // What real gateways send: one whole frame per text message.
  if (rest.length === 0 && typeof data === "string" && data.endsWith("\n") && data.length * 3 < MAX_IN)
    return { lines: data.split("\n").filter(notBlank), rest: NOTHING, oversize: false };
  const bytes = concat(rest, typeof data === "string" ? utf8(data) : new Uint8Array(data));
  const lines: (string | null)[] = [];
  let from = 0;
  for (;;) {
    const end = bytes.indexOf(LF, from);
    if (end < 0) break;
    if (end - from > MAX_IN) return { lines, rest: NOTHING, oversize: true };
    const line = decode(bytes.subarray(from, end));
    if (line === null || notBlank(line)) lines.push(line);
    from = end + 1;
  }
  const left = bytes.slice(from);
  return left.length > MAX_IN ? { lines, rest: NOTHING, oversize: true } : { lines, rest: left, oversize: false };
}

const notBlank = (line: string): boolean => line.trim() !== "";

const id = z.string().max(256);
const text = (max: number) => z.string().min(1).max(max);

const helloFrame = z.object({
  type: z.literal("hello"),
  platform: text(64),
  botId: id.nullish(),
  command_manifest: z.array(z.unknown()).max(500).nullish().catch(null),
});
const outboundFrame = z.object({
  type: z.literal("outbound"),
  requestId: text(128),
  action: z.looseObject({ op: text(64) }),
  platform: id.nullish(),
  botId: id.nullish(),
});
const interruptFrame = z.object({
  type: z.literal("interrupt"),
  session_key: text(1024),
  reason: z.string().nullish().catch(null),
});
const idleFrame = z.object({ type: z.literal("going_idle") });
const ackFrame = z.object({ type: z.literal("inbound_ack"), bufferId: text(128) });

const FRAMES = {
  hello: helloFrame,
  outbound: outboundFrame,
  interrupt: interruptFrame,
  going_idle: idleFrame,
  inbound_ack: ackFrame,
};

export type Hello = z.infer<typeof helloFrame>;
export type Outbound = z.infer<typeof outboundFrame>;
export type InFrame =
  | Hello
  | Outbound
  | z.infer<typeof interruptFrame>
  | { type: "going_idle" }
  | z.infer<typeof ackFrame>;

/** An op as a gateway sent it. */
export type Action = Outbound["action"];

export type ReadFrame =
  | { frame: InFrame }
  /** An outbound whose action can't be read still gets its one result. */
  | { refuse: string }
  /** Malformed, of an unknown type or without a field it needs: left out, the socket stays (§2). */
  | { ignored: string };

export function readFrame(line: string | null): ReadFrame {
  let value: unknown;
  try {
    value = line === null ? null : JSON.parse(line);
  } catch {
    value = null;
  }
  if (typeof value !== "object" || value === null) return { ignored: "malformed" };
  const { type, requestId } = value as { type?: unknown; requestId?: unknown };
  const schema = typeof type === "string" && Object.hasOwn(FRAMES, type) ? FRAMES[type as keyof typeof FRAMES] : null;
  if (!schema) return { ignored: "unknown type" };
  const read = schema.safeParse(value);
  if (read.success) return { frame: read.data };
  if (type === "outbound" && typeof requestId === "string" && requestId !== "" && requestId.length <= 128)
    return { refuse: requestId };
  return { ignored: `bad ${String(type)}` };
}
