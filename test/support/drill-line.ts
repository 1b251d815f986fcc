import { randomUUID } from "node:crypto";
import WebSocket from "ws";
import type { Frame } from "./onion-host";
import { envelope, type Keys, nowS, pyDumps, signText, tsDumps } from "./onion-keys";

/** One socket of a scripted client, and its signatures: the second generation's (npm) or the third's (each command signed). */

export class DrillLine {
  closed: number | null = null;
  #wake: () => void = () => {};

  private constructor(
    readonly ws: WebSocket,
    onFrame: (line: DrillLine, frame: Frame, text: string) => void,
  ) {
    ws.on("message", (data) => {
      const text = data.toString();
      onFrame(this, JSON.parse(text) as Frame, text);
      this.#wake();
    });
    ws.on("close", (code) => {
      this.closed = code;
      this.#wake();
    });
    ws.on("error", () => {});
  }

  /** Null when nobody listens there, or the upgrade was refused. */
  static open(
    url: string,
    random: () => number,
    onFrame: (line: DrillLine, frame: Frame, text: string) => void,
  ): Promise<DrillLine | null> {
    const ws = new WebSocket(url, { perMessageDeflate: false, headers: { "cf-connecting-ip": anyIp(random) } });
    const line = new DrillLine(ws, onFrame);
    return new Promise((resolve) => {
      ws.on("open", () => resolve(line));
      ws.on("close", () => resolve(null));
    });
  }

  get open(): boolean {
    return this.closed === null;
  }

  send(frame: Frame): void {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(frame));
  }

  /** As a network does it: no close frame. */
  cut(): void {
    this.ws.terminate();
  }

  leave(): void {
    this.ws.close(1000, "done");
  }

  /** The next frame, the close, or `ms`, whatever is first. */
  change(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async until<T>(look: () => T | null | undefined | false, ms: number): Promise<T | null> {
    for (const end = Date.now() + ms; ; await this.change(Math.max(1, end - Date.now()))) {
      const found = look();
      if (found) return found;
      if (!this.open || Date.now() >= end) return null;
    }
  }
}

/** Clients of a drill come from everywhere, so that limits of one address are not theirs together. */
export const anyIp = (random: () => number): string =>
  `10.${[0, 0, 0].map(() => Math.floor(random() * 256)).join(".")}`;

/** A CONNECT. `signed`: third generation, whose later commands are signed too. */
export function connectFrame(keys: Keys, to: string, signed: boolean, relayed: boolean, more: Frame): Frame {
  const rest = { type: "CONNECT", ...(relayed ? { to } : {}), ...more };
  if (signed)
    return { ...rest, timestamp: nowS(), ...envelope(keys, { to, timestamp: Date.now() / 1000, signed_commands: 1 }) };
  const payload = { timestamp: nowS(), to };
  return { ...rest, timestamp: nowS(), payload, from: keys.address, signature: signText(keys, tsDumps(payload)) };
}

/** A command of the third generation: all of it is in the payload, and again beside it. */
export function signedCommand(keys: Keys, to: string, type: string, fields: Frame): Frame {
  const payload = { type, ...fields, to, timestamp: nowS(), nonce: randomUUID() };
  return { ...payload, ...envelope(keys, payload) };
}

/** Headers of a signed GET. */
export function signedHeaders(keys: Keys, path: string): Record<string, string> {
  const timestamp = nowS();
  return {
    "x-co-from": keys.address,
    "x-co-signature": signText(keys, pyDumps({ method: "GET", path, timestamp })),
    "x-co-timestamp": String(timestamp),
  };
}
