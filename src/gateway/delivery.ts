import { HOUR, SECOND } from "../kernel/clock";

/**
 * What a Gateway object does next (hermes-relay §4.3, §4.4), as a pure function of what waits and who listens. One event is in
 * flight at a time; nothing overtakes. All times are Reveille ms.
 */

/** A gateway may download several files before it acks. */
export const ACK_MS = 120 * SECOND;
/** Some builds never ack a passthrough. */
export const PASSTHROUGH_MS = 10 * SECOND;
/** After the first greeting, for more of them: no event before its platform's descriptor. */
export const GREETING_MS = 250;
/** An event whose capability is being sealed holds up those behind it this long. */
export const LEASE_MS = 30 * SECOND;
/** Pictures of one album come as events of their own. */
export const ALBUM_MS = SECOND;
const ALBUM_MOST = 12;
/** A press that waited longer is expired on the other side. */
export const PRESS_MS = HOUR;
export const RETENTION_MS = 72 * HOUR;
export const MAX_ATTEMPTS = 5;
/** A gateway that still speaks this long after its going_idle was granted has not gone. */
export const AWAKE_MS = 30 * SECOND;

/** An event that waits; the frame itself stays in storage. */
export interface Waiting {
  seq: number;
  platform: string;
  chat: string;
  /** Capability not sealed yet. */
  held: boolean;
  kind: "message" | "press" | "passthrough";
  album: string | null;
  at: number;
  /** Times it was sent and not acked. */
  attempts: number;
}

/** What is on its way down one socket: an event, or the events of one album as one. */
export interface Sent {
  seqs: number[];
  at: number;
  passthrough: boolean;
}

/** One socket that greeted. */
export interface Listener {
  id: string;
  /** Order of handshakes: the newest gets inbound. */
  n: number;
  ready_at: number;
  platforms: string[];
  sent: Sent | null;
  /** It asked to sleep: nothing new goes down. `acked_at` null: not answered yet. */
  idle: { acked_at: number | null } | null;
}

/** The instance sleeps, or is about to: listeners up to the handshake `n` get nothing. */
export interface Flip {
  n: number;
}

export interface Scene {
  /** Undelivered, by seq. */
  rows: readonly Waiting[];
  listeners: readonly Listener[];
  flip: Flip | null;
}

export type Step =
  | { do: "send"; to: string; seqs: number[]; passthrough: boolean }
  /** No ack in time: the socket is half-open or its reader died. */
  | { do: "timeout"; to: string }
  /** A newer socket takes over what an older one has not acked. */
  | { do: "supersede"; to: string }
  /** Passthroughs need no ack. */
  | { do: "advance"; to: string }
  | { do: "bury"; seq: number; why: string }
  | { do: "idle_ack"; to: string }
  /** The backlog is drained by a new handshake: the flip is over. */
  | { do: "awake" }
  | { do: "wait"; until: number | null };

/** Whose turn it is: the newest that greeted, is not going idle, and shook hands after the flip. */
export function listenerOf(scene: Scene): Listener | null {
  let newest: Listener | null = null;
  for (const l of scene.listeners)
    if (!l.idle && (!scene.flip || l.n > scene.flip.n) && (!newest || l.n > newest.n)) newest = l;
  return newest;
}

const deadline = (s: Sent): number => s.at + (s.passthrough ? PASSTHROUGH_MS : ACK_MS);

/** Why an undelivered event must go now, or null. */
export function expiry(row: Waiting, now: number): string | null {
  if (row.attempts >= MAX_ATTEMPTS) return `not acked in ${MAX_ATTEMPTS} attempts`;
  if (row.kind === "press" && now >= row.at + PRESS_MS) return "press expired after 1 h";
  if (now < row.at + RETENTION_MS) return null;
  return row.held ? "its capability was never sealed" : "waited 72 h";
}

/** The events of the album that begins with `head`: those of its chat that follow without another one between them. */
function albumOf(rows: readonly Waiting[], at: number): number[] {
  const head = rows[at]!;
  const seqs = [head.seq];
  for (let i = at + 1; i < rows.length && seqs.length < ALBUM_MOST; i++) {
    const row = rows[i]!;
    if (row.platform !== head.platform || row.chat !== head.chat) continue;
    if (row.album !== head.album || row.held || row.kind !== "message") break;
    seqs.push(row.seq);
  }
  return seqs;
}

/** The one next thing to do. The caller does it, changes the scene accordingly, and asks again until it is to wait. */
export function nextStep(scene: Scene, now: number): Step {
  let until: number | null = null;
  const later = (at: number): void => {
    until = until === null ? at : Math.min(until, at);
  };
  for (const l of scene.listeners)
    if (l.sent) {
      if (now >= deadline(l.sent)) return { do: l.sent.passthrough ? "advance" : "timeout", to: l.id };
      later(deadline(l.sent));
    } else if (l.idle && l.idle.acked_at === null) return { do: "idle_ack", to: l.id };

  const listener = listenerOf(scene);
  if (!listener) return { do: "wait", until };
  if (now < listener.ready_at) {
    later(listener.ready_at);
    return { do: "wait", until };
  }
  const older = scene.listeners.find((l) => l.sent && l.n < listener.n);
  if (older) return { do: "supersede", to: older.id };
  if (scene.listeners.some((l) => l.sent)) return { do: "wait", until };

  for (let i = 0; i < scene.rows.length; i++) {
    const row = scene.rows[i]!;
    const why = expiry(row, now);
    if (why) return { do: "bury", seq: row.seq, why };
    // A platform this gateway has not greeted for has no descriptor there yet.
    if (!listener.platforms.includes(row.platform)) continue;
    if (row.held) {
      // What was never sealed is waited for once more when its platform repeats it; others go on meanwhile.
      if (now >= row.at + LEASE_MS) continue;
      later(row.at + LEASE_MS);
      return { do: "wait", until };
    }
    if (row.album !== null && now < row.at + ALBUM_MS) {
      later(row.at + ALBUM_MS);
      return { do: "wait", until };
    }
    const seqs = row.album === null ? [row.seq] : albumOf(scene.rows, i);
    return { do: "send", to: listener.id, seqs, passthrough: row.kind === "passthrough" };
  }
  if (scene.flip && scene.rows.length === 0) return { do: "awake" };
  return { do: "wait", until };
}
