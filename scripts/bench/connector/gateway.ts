import WebSocket from "ws";
import { upgradeToken } from "../../../test/support/gateway";
import { quantile } from "../../lib/sandbox";

/** A gateway that acks each event after a given round trip and keeps nothing but what is judged. */
export interface Drained {
  n: number;
  /** ms from the dial to the first event; then between one event and the next. */
  first: number;
  gap: number;
  perSecond: number;
  /** Events that came twice, and that came after a younger one of their chat: by the number each text begins with. */
  twice: number;
  disorder: number;
}

/** It gets nothing for this long: something is stuck. */
const STUCK_MS = 20_000;
const HELLO = `${JSON.stringify({ type: "hello", platform: "slack", botId: "" })}\n`;

const TEXT = /"text":"(\d+) /;
const CHAT = /"chat_id":"([^"]*)"/;
const ID = /"bufferId":"([^"]+)"/;

export interface Listening {
  /** Events so far. */
  got(): number;
  /** Resolves when `n` have come and their acks have left. */
  drained: Promise<Drained>;
  close(): void;
}

/** Dials `url` and drains it until it has `n`, `rtt` ms after each event its ack. */
export async function listen(
  url: string,
  n: number,
  rtt: number,
  token: { id: string; secret: string } | null,
): Promise<Listening> {
  const exp = Math.floor(Date.now() / 1000) + 300;
  const headers: Record<string, string> = token
    ? { authorization: `Bearer ${await upgradeToken(token.id, token.secret, exp)}` }
    : {};
  const began = performance.now();
  const ws = new WebSocket(url, { perMessageDeflate: false, headers });
  const seen = new Set<number>();
  const at: number[] = [];
  let [twice, disorder, rest] = [0, 0, ""];
  const last = new Map<string, number>();
  let finish!: (d: Drained) => void;
  let fail!: (e: Error) => void;
  const drained = new Promise<Drained>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  drained.catch(() => {});
  let before = -1;
  const timer = setInterval(() => {
    if (at.length === before)
      fail(new Error(`Nothing came from ${url} for ${STUCK_MS / 1000} s after ${before} of ${n}.`));
    before = at.length;
  }, STUCK_MS);
  const take = (line: string): void => {
    const id = ID.exec(line)?.[1];
    if (id === undefined) return;
    at.push(performance.now());
    const number = Number(TEXT.exec(line)?.[1]);
    const chat = CHAT.exec(line)?.[1] ?? "";
    if (seen.has(number)) twice++;
    else if (number < (last.get(chat) ?? 0)) disorder++;
    else last.set(chat, number);
    seen.add(number);
    const ack = (): void => {
      ws.send(`{"type":"inbound_ack","bufferId":"${id}"}\n`);
      if (seen.size === n) finish(figures());
    };
    if (rtt === 0) ack();
    else setTimeout(ack, rtt);
  };
  const figures = (): Drained => ({
    n: seen.size,
    first: at[0]! - began,
    gap: quantile(
      at.slice(1).map((t, i) => t - at[i]!),
      0.5,
    ),
    perSecond: ((at.length - 1) * 1_000) / (at.at(-1)! - at[0]!),
    twice,
    disorder,
  });
  ws.on("message", (data) => {
    const lines = (rest + data.toString()).split("\n");
    rest = lines.pop()!;
    for (const line of lines) take(line);
  });
  ws.on("error", fail);
  ws.on("close", (code) => {
    clearInterval(timer);
    fail(new Error(`The line to ${url} was closed with ${code} after ${at.length} of ${n}.`));
  });
  await new Promise<void>((resolve, reject) => {
    ws.once("open", resolve);
    ws.once("error", reject);
  });
  ws.send(HELLO);
  return {
    got: () => seen.size,
    drained,
    close: () => {
      clearInterval(timer);
      ws.close(1000);
    },
  };
}

/** The same until the end. */
export async function drain(...args: Parameters<typeof listen>): Promise<Drained> {
  const line = await listen(...args);
  return line.drained.finally(() => line.close());
}
