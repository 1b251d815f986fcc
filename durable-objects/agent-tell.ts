import { SECOND } from "../src/kernel/clock";
import { readVar } from "../src/kernel/config";
import { toHex, utf8 } from "../src/kernel/crypto";
import type { Runtime } from "../src/kernel/runtime";
import { type HostKey, hostKey } from "../src/session";
import type { ObjectEnv } from "./env";

/**
 * A client of our own relay, for a message that somebody else's socket can't carry: CONNECT signed by the host's key, then INPUT
 * (connectonion.md (c), second generation). It goes through a ClientLine as every client does, so routing, records and results
 * are the same.
 */

export interface TellAsk {
  address: string;
  session_id: string;
  input_id: string;
  prompt: string;
}

export type Told = { ok: true; result: string } | { ok: false; retry: boolean; error: string };

/** For CONNECTED. Wall ms. */
const CONNECT_WITHIN = 10 * SECOND;
/** For the agent's first word; a model may think longer, and its line holds the message then. */
const FIRST_WORD_WITHIN = 5 * SECOND;

type Frame = Record<string, unknown>;

/** Hands the prompt over. `ok` when the agent said anything to it, or holds it on a line that is still open. */
export async function tellOverRelay(env: ObjectEnv, { vars, clock }: Runtime, ask: TellAsk): Promise<Told> {
  const key = await hostKey(readVar(vars, "REVEILLE_AGENT_SEED"));
  if (!key)
    return { ok: false, retry: true, error: "REVEILLE_AGENT_SEED is not set: nothing can be signed for the agent" };
  const name = crypto.randomUUID();
  const object = env.CLIENT_LINE.get(env.CLIENT_LINE.idFromName(name));
  const response = await object.fetch("https://relay.internal/ws/input", {
    headers: { upgrade: "websocket", "x-line": name },
  });
  const ws = response.webSocket;
  if (!ws) return { ok: false, retry: true, error: `the relay answered ${response.status}` };
  const line = new Frames(ws);
  try {
    ws.send(await signedConnect(key, ask, Math.floor(clock.wall() / 1000)));
    const opened = await line.next(["CONNECTED", "ERROR", "ONBOARD_REQUIRED"], CONNECT_WITHIN);
    if (opened === "closed" || opened === "late") return no(line.lastError() ?? `${opened} before CONNECTED`);
    if (opened["type"] === "ONBOARD_REQUIRED")
      return no(`the agent does not trust us yet: let ${key.address} in there`);
    if (opened["type"] === "ERROR") return no(wordsOf(opened));
    ws.send(JSON.stringify({ type: "INPUT", input_id: ask.input_id, prompt: ask.prompt }));
    const said = await line.next(null, FIRST_WORD_WITHIN);
    if (said === "closed") return no(line.lastError() ?? "the line closed before the agent said anything");
    if (said === "late") return { ok: true, result: "handed over" };
    if (said["type"] === "ERROR") return no(wordsOf(said));
    return { ok: true, result: `answered ${String(said["type"]).slice(0, 40)}` };
  } finally {
    ws.close(1000, "handed over");
  }
}

const no = (error: string): Told => ({ ok: false, retry: true, error });
const wordsOf = (frame: Frame): string => String(frame["message"] ?? frame["error"] ?? "ERROR").slice(0, 200);

async function signedConnect(key: HostKey, ask: TellAsk, timestamp: number): Promise<string> {
  // Keys in order: the signature is over this text. The nonce keeps two CONNECTs of one second apart.
  const payload = { nonce: crypto.randomUUID(), timestamp, to: ask.address };
  const signature = toHex(await key.sign(utf8(JSON.stringify(payload))));
  const { session_id } = ask;
  return JSON.stringify({
    type: "CONNECT",
    timestamp,
    to: ask.address,
    session_id,
    payload,
    from: key.address,
    signature,
  });
}

/** What comes down a socket, to be waited for. */
class Frames {
  readonly #frames: Frame[] = [];
  #closed = false;
  #wake: () => void = () => {};

  constructor(ws: WebSocket) {
    ws.accept();
    ws.addEventListener("message", ({ data }) => {
      const frame = JSON.parse(String(data)) as Frame;
      if (frame["type"] === "PING") return;
      this.#frames.push(frame);
      this.#wake();
    });
    ws.addEventListener("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  lastError(): string | null {
    const error = this.#frames.findLast((f) => f["type"] === "ERROR");
    return error ? wordsOf(error) : null;
  }

  /** The next frame of one of these types, others are passed over; null: of any. */
  async next(types: string[] | null, ms: number): Promise<Frame | "closed" | "late"> {
    const end = Date.now() + ms;
    for (;;) {
      for (let f = this.#frames.shift(); f; f = this.#frames.shift())
        if (types === null || types.includes(String(f["type"]))) return f;
      if (this.#closed) return "closed";
      const left = end - Date.now();
      if (left <= 0) return "late";
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer ?? null);
    }
  }
}
