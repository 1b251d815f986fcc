import { describe } from "../kernel/errors";
import type { Log } from "../kernel/log";

/**
 * Lent lines, seen from a session's home (design §3): the socket is held by another object, the acceptor. Frames of a line are
 * numbered and go out one delivery at a time; on an error the stub is dropped, and what the acceptor lacks is read from the
 * event log.
 */

/** One frame on its way. `seq` is its number in the event log; null: said once, not kept. Without text it only moves the mark. */
export interface Out {
  seq: number | null;
  text: string;
}

/** What the acceptor is handed. */
export interface Delivery {
  line: string;
  /** One life of the home: its numbers start again after a restart. */
  epoch: string;
  n: number;
  /** The last logged frame the home believes to be there; null: it does not know. */
  after: number | null;
  frames: Out[];
}

/** `have`: the acceptor's own last logged frame, when it differs. */
export type Delivered = { ok: true } | { ok: false; have: number } | { ok: false; gone: true };

export interface LentLine {
  id: string;
  acceptor: string;
  from: string;
}

export const LINE_SCHEMA =
  'CREATE TABLE IF NOT EXISTS line (id TEXT PRIMARY KEY, acceptor TEXT NOT NULL, "from" TEXT NOT NULL) WITHOUT ROWID';

interface Lent extends LentLine {
  n: number;
  seq: number | null;
  /** The last frame that came from it. */
  heard: number | null;
  port: AcceptorPort | null;
  tail: Promise<void>;
  /** Both tries of a delivery failed. */
  behind: boolean;
}

export interface AcceptorPort {
  deliver(delivery: Delivery): Promise<Delivered>;
}

export interface LendingDeps {
  sql: SqlStorage;
  log: Log;
  open(acceptor: string): AcceptorPort;
  /** Logged frames after a number, as they are sent. */
  replay(after: number): Out[];
}

export class Lending {
  readonly #deps: LendingDeps;
  readonly #epoch = crypto.randomUUID();
  #lines: Map<string, Lent> | null = null;

  constructor(deps: LendingDeps) {
    this.#deps = deps;
  }

  #all(): Map<string, Lent> {
    this.#lines ??= new Map(
      (this.#deps.sql.exec('SELECT id, acceptor, "from" FROM line').toArray() as unknown as LentLine[]).map((l) => [
        l.id,
        fresh(l),
      ]),
    );
    return this.#lines;
  }

  /** Lines of one address. */
  linesOf(from: string | null): string[] {
    return [...this.#all().values()].filter((l) => l.from === from).map((l) => l.id);
  }

  get lines(): LentLine[] {
    return [...this.#all().values()].map(({ id, acceptor, from }) => ({ id, acceptor, from }));
  }

  get count(): number {
    return this.#all().size;
  }

  add(line: LentLine): void {
    this.#deps.sql.exec(
      'INSERT OR REPLACE INTO line (id, acceptor, "from") VALUES (?, ?, ?)',
      line.id,
      line.acceptor,
      line.from,
    );
    this.#all().set(line.id, { ...fresh(line), seq: 0 });
  }

  remove(line: string): void {
    if (!this.#all().delete(line)) return;
    this.#deps.sql.exec("DELETE FROM line WHERE id = ?", line);
  }

  /** True when frame `n` of a line is new; a repeat is not. Null: the line is not known here. */
  hear(line: string, n: number): boolean | null {
    const lent = this.#all().get(line);
    if (!lent) return null;
    if (lent.heard !== null && n <= lent.heard) return false;
    lent.heard = n;
    return true;
  }

  /** Sends frames on a line after those before them. Resolves when they arrived, or could not; never throws. */
  push(line: string, frames: Out[]): Promise<void> {
    const lent = this.#all().get(line);
    if (!lent || frames.length === 0) return Promise.resolve();
    lent.tail = lent.tail.then(() => this.#deliver(lent, frames));
    return lent.tail;
  }

  /** Brings lines that missed something up to the log's end; after a restart that is any of them. */
  async catchUp(): Promise<void> {
    await Promise.all(
      [...this.#all().values()]
        .filter((l) => l.behind || l.seq === null)
        .map((l) => (l.tail = l.tail.then(() => this.#deliver(l, [])))),
    );
  }

  get behind(): boolean {
    return [...this.#all().values()].some((l) => l.behind);
  }

  async #deliver(lent: Lent, frames: Out[]): Promise<void> {
    const { log } = this.#deps;
    let out = frames;
    let after = lent.behind ? null : lent.seq;
    const n = ++lent.n;
    for (let attempt = 0; attempt < 4; attempt++) {
      try {
        lent.port ??= this.#deps.open(lent.acceptor);
        const answer = await lent.port.deliver({ line: lent.id, epoch: this.#epoch, n, after, frames: out });
        if (answer.ok) {
          lent.behind = false;
          lent.seq = Math.max(after ?? 0, ...out.map((f) => f.seq ?? 0));
          return;
        }
        if ("gone" in answer) return this.remove(lent.id);
        after = answer.have;
        // The log has every numbered frame; the others stay in their place behind it.
        out = [...this.#deps.replay(after), ...frames.filter((f) => f.seq === null)];
        if (out.length === 0) {
          lent.behind = false;
          lent.seq = after;
          return;
        }
      } catch (error) {
        lent.port = null;
        log("warn", "session.line_failed", { line: lent.id, attempt, error: describe(error) });
        if (attempt > 0) break;
      }
    }
    lent.behind = true;
  }
}

const fresh = (line: LentLine): Lent => ({
  ...line,
  n: 0,
  seq: null,
  heard: null,
  port: null,
  tail: Promise.resolve(),
  behind: false,
});

/** What the acceptor knows of a line's deliveries. */
export interface Received {
  epoch: string | null;
  n: number;
  seq: number;
}

/**
 * The acceptor's side, pure: which frames to write to the socket, what to remember, and what to answer. A repeat writes
 * nothing; a logged frame it has is never written twice.
 */
export function receive(known: Received, d: Delivery): { write: string[]; next: Received; answer: Delivered } {
  const again = d.epoch === known.epoch && d.n <= known.n && d.after !== null && d.after !== known.seq;
  if (again && d.frames.every((f) => f.seq !== null && f.seq <= known.seq))
    return { write: [], next: known, answer: { ok: true } };
  if (d.after !== known.seq) return { write: [], next: known, answer: { ok: false, have: known.seq } };
  const repeat = d.epoch === known.epoch && d.n <= known.n;
  const write = d.frames
    .filter((f) => f.text !== "" && (f.seq === null ? !repeat : f.seq > known.seq))
    .map((f) => f.text);
  const seq = Math.max(known.seq, ...d.frames.map((f) => f.seq ?? 0));
  return { write, next: { epoch: d.epoch, n: d.n, seq }, answer: { ok: true } };
}
