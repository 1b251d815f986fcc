import type { Attach, Command } from "./home.types";
import type { Received } from "./lending";
import type { Verified } from "./signing";

/** What an accepted socket is known by; kept as its attachment, at most 16 KB. */
export interface LineState extends Received {
  id: string;
  /** The session this object stands for: its own fresh id, or the one in our own URL. */
  own: string;
  path: "stock" | "direct";
  /** Wall ms. */
  opened_at: number;
  heard_at: number;
  ping_at: number;
  /** The signer of its CONNECT or first INPUT; null: nobody has proven anything. */
  from: string | null;
  level: string | null;
  admin: boolean;
  /** Every command must be signed (third generation). */
  signed: boolean;
  /** What CONNECT named: a second one must name the same. */
  to: string | null;
  named: string | null;
  /** The session it is attached to. */
  home: string | null;
  /** Commands handed to a home elsewhere. */
  sent: number;
  /** The signer of a CONNECT that waits for onboarding; its text is in the object's storage. */
  held: string | null;
  /** One empty INPUT is to be ignored: 0.1.4 sends it after onboarding. */
  skip_empty: boolean;
  /** Opened by a signed INPUT, without a CONNECT: the first generation signs each one. */
  each: boolean;
  /** Where the socket came from: tries are counted by it. */
  ip: string;
}

export interface TrustAnswer {
  allow: boolean;
  reason: string;
  level: string;
  admin: boolean;
  onboard: { methods: string[]; payment_amount?: number } | null;
}

export interface DoorPorts {
  /** Wall seconds. */
  now_s(): number;
  /** Our host address; null: not configured. */
  address(): Promise<string | null>;
  /** One use of a signature. @throws when the ledger can't be reached. */
  claim(verified: Verified, ownsSession?: boolean): Promise<"fresh" | "tolerated" | "refused">;
  trust(ask: {
    client_id: string;
    situation: "connect" | "input" | "onboard";
    invite_code?: string;
    payment_proof?: unknown;
  }): Promise<TrustAnswer>;
  /** Room for one more connection of this address in this minute. */
  mayConnect(from: string): Promise<boolean>;
  /** Room for one more try from the line's IP: to connect, whatever key it shows, or to show a code or payment. */
  mayTry(line: LineState, what: "connect" | "code"): Promise<boolean>;
  ownerOf(session: string): Promise<string | null>;
  statusFor(session: string, from: string): Promise<"running" | "connected" | "not_found">;
  attach(home: string, line: LineState, a: Omit<Attach, "acceptor" | "line">): Promise<boolean>;
  command(line: LineState, c: Omit<Command, "acceptor" | "line">): Promise<void>;
  /** As it is now: it may have changed since it connected. */
  standing(from: string): Promise<{ blocked: boolean; level: string; admin: boolean }>;
  admin(line: LineState, verified: Verified, action: string): Promise<object>;
  hold(line: string, raw: string | null): void;
  held(line: string): string | null;
  /** Something was refused: nothing is refused in silence. */
  refused(error: string): void;
  say(frame: object): void;
  close(code: number, reason: string): void;
  /** Keeps a line's state; what deliveries wrote meanwhile stays, unless the line starts anew (`fresh`). */
  save(line: LineState, fresh?: boolean): void;
}
