import type { LocalRuntime } from "../../lib/runtime";
import { sleep } from "../../lib/sandbox";
import type { Counted } from "./counted";
import { type ClientLine, openLines, startAgent } from "./lines";

/** What a connected hour costs, from counts of the running code: opened, held, asked, closed. */

/** List prices in dollars a million (public price pages, November 2026); no free allowance is taken off. */
const PER_MILLION = { workerRequest: 0.3, objectRequest: 0.15, rowWritten: 1, rowRead: 0.001 };
/** Incoming socket messages of an object are billed as a twentieth of a request. */
const MESSAGES_A_REQUEST = 20;

/** A session-hour: one line held for an hour, this many questions on it, each of them a run of this length with these events. */
export const HOUR = { turns: 6, runMs: 10_000, events: 4 };

/** PINGs come each 30 s: every line has one in a quiet window, two in one with a question. */
const QUIET = 30_000;
const WINDOW = 2 * QUIET;

export interface Costs {
  /** Dollars for 1,000 session-hours, and of that: the line held, the questions, opening and closing. */
  dollars: number;
  held: number;
  turns: number;
  ends: number;
  /** Of one line in one hour without a question: alarms, rows. Of one turn: rows (objects, D1), requests. */
  alarms: number;
  turnRows: number;
  turnD1Rows: number;
  turnRequests: number;
}

const read = async (url: string): Promise<Counted> =>
  (await (await fetch(`${url}/counted`, { headers: { connection: "close" } })).json()) as Counted;

const minus = (a: Counted, b: Counted): Counted =>
  Object.fromEntries(Object.entries(a).map(([k, v]) => [k, v - b[k as keyof Counted]])) as unknown as Counted;

const over = (a: Counted, n: number): Counted =>
  Object.fromEntries(Object.entries(a).map(([k, v]) => [k, v / n])) as unknown as Counted;

const requestsOf = (c: Counted): number => c.objectRequests + c.alarms + c.messages / MESSAGES_A_REQUEST;

/** Dollars of these counts. */
export const priceOf = (c: Counted): number =>
  (c.workerRequests * PER_MILLION.workerRequest +
    requestsOf(c) * PER_MILLION.objectRequest +
    (c.rowsWritten + c.d1Written) * PER_MILLION.rowWritten +
    (c.rowsRead + c.d1Read) * PER_MILLION.rowRead) /
  1e6;

/** What is counted in the next `ms`, with what `during` starts. */
async function window(url: string, ms: number, during: () => void = () => {}): Promise<Counted> {
  const before = await read(url);
  const began = Date.now();
  during();
  await sleep(Math.max(0, ms - (Date.now() - began)));
  return minus(await read(url), before);
}

/**
 * Opens `n` lines, holds them for a window, asks a question on each in two more, closes them. `idle` is called while all of
 * them are idle.
 */
export async function measureCosts(
  rt: LocalRuntime,
  n: number,
  idle: () => void,
  say: (what: string) => void,
): Promise<Costs> {
  const url = await rt.direct("reveille");
  const agent = await startAgent(url);
  agent.events = HOUR.events;
  agent.runMs = HOUR.runMs;
  const before = await read(url);
  say(`open ${n} lines`);
  const { lines, close } = await openLines(url, "/ws/input", agent.address, n);
  const opened = over(minus(await read(url), before), n);
  // Lines that were opened first have had no PING yet when the last one opens: any whole window has two of each.
  say(`${n} idle lines`);
  const quiet = over(await window(url, QUIET), n);
  idle();
  const asked = async (which: string): Promise<Counted> => {
    say(`${which} question on each of ${n} lines`);
    const unanswered = { n: 0 };
    const busy = over(await window(url, WINDOW, () => askEach(lines, unanswered)), n);
    if (unanswered.n > 0)
      throw new Error(`${unanswered.n} of ${n} questions were not answered within ${WINDOW / 1000} s.`);
    return minus(minus(busy, quiet), quiet);
  };
  // The first one makes the session's tables; those after it do not.
  const first = await asked("a first");
  const turn = await asked("another");
  say("close");
  const last = await read(url);
  await close();
  await sleep(1_000);
  const closed = over(minus(await read(url), last), n);
  await agent.close();

  const perHour = 3_600_000 / QUIET;
  const held = priceOf(quiet) * perHour * 1_000;
  const turns = (priceOf(first) + priceOf(turn) * (HOUR.turns - 1)) * 1_000;
  const ends = (priceOf(opened) + priceOf(closed)) * 1_000;
  return {
    dollars: held + turns + ends,
    held,
    turns,
    ends,
    alarms: quiet.alarms * perHour,
    turnRows: turn.rowsWritten,
    turnD1Rows: turn.d1Written,
    turnRequests: requestsOf(turn),
  };
}

/** Spread over the window's first third, so that every run and its index row end within it. */
function askEach(lines: ClientLine[], unanswered: { n: number }): void {
  unanswered.n = lines.length;
  lines.forEach((line, i) => {
    line.answered = (error) => {
      if (!error) unanswered.n--;
    };
    const text = JSON.stringify({ type: "INPUT", input_id: crypto.randomUUID(), prompt: "What has changed?" });
    setTimeout(() => line.ws.send(text), (WINDOW / 3) * (i / lines.length));
  });
}
