import { errorFrame, type LineState } from "../src/session";

/** What a Session object does with one socket, and what it keeps of it in memory. */

/** Largest frame, characters here, bytes of UTF-8 at the door. */
export const FRAME_LIMIT = 1_048_576;
/** Frames of one line that may wait, and their length together. */
export const MAX_WAITING = 256;
export const MAX_WAITING_SIZE = 8 * 1024 * 1024;
/** Frames a second that a line may send for long, and at once. */
const RATE = 50;
const BURST = 200;

/** What the platform does not keep for us over hibernation, and that may start anew with it. */
export interface Traffic {
  tail: Promise<void>;
  frames: number;
  size: number;
  tokens: number;
  at: number;
}

export const newTraffic = (now: number): Traffic => ({
  tail: Promise.resolve(),
  frames: 0,
  size: 0,
  tokens: BURST,
  at: now,
});

export const stateOf = (ws: WebSocket): LineState | null => ws.deserializeAttachment() as LineState | null;

/** Writes to a socket; one that is gone is noticed by its close event. */
export function write(ws: WebSocket, texts: string[]): void {
  try {
    for (const text of texts) ws.send(text);
  } catch {
    // Closed meanwhile.
  }
}

export function close(ws: WebSocket, code: number, reason: string): void {
  try {
    ws.close(code, reason);
  } catch {
    // Closed already.
  }
}

export function end(ws: WebSocket, error: string, code: number): void {
  write(ws, [JSON.stringify(errorFrame(error))]);
  close(ws, code, error.slice(0, 100));
}

/** A token bucket: true when this frame may pass. */
export function take(t: Traffic, now: number): boolean {
  t.tokens = Math.min(BURST, t.tokens + ((now - t.at) / 1000) * RATE);
  t.at = now;
  if (t.tokens < 1) return false;
  t.tokens -= 1;
  return true;
}
