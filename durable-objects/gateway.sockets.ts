import { type Flip, greet, type Identity, type Listener, NOTHING, type Sent } from "../src/gateway";

/** What a Gateway object keeps of each socket, in its attachment: all of it survives hibernation. */

export interface Line {
  id: string;
  gateway_id: string;
  tenant: string;
  instance: string;
  /** Provisioned for this gateway, from its record. */
  identities: [string, string][];
  /** `https://host` as the gateway dialled it: links to media must be on it (hermes-relay §5.4). */
  origin: string;
  opened_at: number;
  /** When the secret it came with was made, Reveille ms. */
  proved_at: number;
  /** Of its greetings, as sent; the first is the default of untagged outbounds. */
  greeted: Identity[];
  /** Set by the first greeting. */
  listener: Omit<Listener, "id"> | null;
  /** Bytes of a frame that is not whole yet; null: too many for here, they are in storage. */
  rest: Uint8Array | null;
}

/** What the edge proved of a dial, in a header of ours. */
export type Dial = Pick<Line, "gateway_id" | "tenant" | "instance" | "identities" | "origin" | "proved_at">;

export const DIAL_HEADER = "x-gateway-dial";
export const writeDial = (dial: Dial): string => encodeURIComponent(JSON.stringify(dial));
export const readDial = (header: string | null): Dial | null =>
  header === null ? null : (JSON.parse(decodeURIComponent(header)) as Dial);

/** Sockets of one gateway; above that the oldest goes (hermes-relay §4.1). */
export const MAX_SOCKETS = 8;
/** An attachment takes 16,384 bytes. */
const MAX_IDENTITIES = 8_000;
const MAX_REST = 4_000;
/** Greetings of one socket. */
export const MAX_GREETINGS = 32;

export const tooManyIdentities = (dial: Dial): boolean => JSON.stringify(dial.identities).length > MAX_IDENTITIES;

const restKey = (id: string): string => `rest:${id}`;

/** The sockets of one object. Attachments are read once per wake. */
export class Sockets {
  readonly #lines = new Map<WebSocket, Line>();
  #loaded = false;

  constructor(readonly ctx: DurableObjectState) {}

  #load(): Map<WebSocket, Line> {
    if (!this.#loaded)
      for (const ws of this.ctx.getWebSockets()) {
        const line = ws.deserializeAttachment() as Line | null;
        if (line && !this.#lines.has(ws)) this.#lines.set(ws, line);
      }
    this.#loaded = true;
    return this.#lines;
  }

  accept(ws: WebSocket, dial: Dial, now: number): Line {
    this.#load();
    const line: Line = {
      ...dial,
      id: crypto.randomUUID(),
      opened_at: now,
      greeted: [],
      listener: null,
      rest: NOTHING,
    };
    this.ctx.acceptWebSocket(ws);
    this.#lines.set(ws, line);
    this.save(ws);
    return line;
  }

  /** The line of a socket that is open; null of one that was closed. */
  lineOf(ws: WebSocket): Line | null {
    return this.#load().get(ws) ?? null;
  }

  /** Open sockets, oldest first. */
  open(): [WebSocket, Line][] {
    return [...this.#load()]
      .filter(([ws]) => ws.readyState === WebSocket.OPEN)
      .sort(([, a], [, b]) => a.opened_at - b.opened_at || (a.listener?.n ?? 0) - (b.listener?.n ?? 0));
  }

  byId(id: string): WebSocket | null {
    for (const [ws, line] of this.#load()) if (line.id === id) return ws;
    return null;
  }

  listeners(): Listener[] {
    return this.open().flatMap(([, line]) => (line.listener ? [{ id: line.id, ...line.listener }] : []));
  }

  save(ws: WebSocket): void {
    const line = this.#lines.get(ws);
    if (line && ws.readyState === WebSocket.OPEN) ws.serializeAttachment(line);
  }

  /** Changes what the drain knows of a line. */
  change(id: string, change: Partial<Omit<Listener, "id">>): void {
    const ws = this.byId(id);
    const line = ws && this.#lines.get(ws);
    if (!ws || !line?.listener) return;
    Object.assign(line.listener, change);
    this.save(ws);
  }

  /** Notes a greeting. Returns the platform to describe; the first greeting makes the line a listener. */
  greet(ws: WebSocket, platform: string, botId: string, readyAt: number, flip: Flip | null): string {
    const line = this.#lines.get(ws)!;
    const { platform: described, usable } = greet(line.identities, platform, botId);
    if (line.greeted.length < MAX_GREETINGS) {
      line.greeted.push([platform, botId]);
      const platforms = [...new Set([...(line.listener?.platforms ?? []), ...usable.map(([p]) => p)])];
      if (line.listener) line.listener.platforms = platforms;
      else line.listener = { n: this.#nextN(flip), ready_at: readyAt, platforms, sent: null, idle: null };
      this.save(ws);
    }
    return described;
  }

  #nextN(flip: Flip | null): number {
    return Math.max(flip?.n ?? 0, ...[...this.#load().values()].map((l) => l.listener?.n ?? 0)) + 1;
  }

  /** What came before of a frame that is not whole. */
  restOf(line: Line): Uint8Array {
    return line.rest ?? this.ctx.storage.kv.get<Uint8Array>(restKey(line.id)) ?? NOTHING;
  }

  keepRest(ws: WebSocket, line: Line, rest: Uint8Array): void {
    if (rest.length === 0 && line.rest?.length === 0) return;
    if (line.rest === null && rest.length <= MAX_REST) this.ctx.storage.kv.delete(restKey(line.id));
    if (rest.length > MAX_REST) this.ctx.storage.kv.put(restKey(line.id), rest);
    line.rest = rest.length > MAX_REST ? null : rest;
    this.save(ws);
  }

  /** Forgets a socket; returns what of it was in flight. */
  leave(ws: WebSocket): Sent | null {
    const line = this.#load().get(ws);
    if (!line) return null;
    if (line.rest === null) this.ctx.storage.kv.delete(restKey(line.id));
    this.#lines.delete(ws);
    return line.listener?.sent ?? null;
  }
}

export function closeSocket(ws: WebSocket, code: number, reason: string): void {
  try {
    ws.close(code, reason);
  } catch {
    // Closed already.
  }
}
