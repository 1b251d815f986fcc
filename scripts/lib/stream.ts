import type { LogEvent } from "./log-event";
import { type Style, seconds, shortId, type Term } from "./term";

/** How long an opened incident waits for its notice, so that both stand on one line, ms. */
const NOTICE_WAIT_MS = 2_000;

const SEVERITY: Record<string, { sign: string; word: string; style: Style }> = {
  critical: { sign: "X", word: "down", style: "down" },
  warning: { sign: "D", word: "degraded", style: "degraded" },
  info: { sign: "?", word: "noted", style: "unknown" },
};

/** UTC wall time of a line. */
export const clockText = (at: number): string => new Date(at).toISOString().slice(11, 19);

const text = (value: unknown): string => (typeof value === "string" || typeof value === "number" ? String(value) : "");
const num = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);

function span(ms: number): string {
  const s = Math.round(ms / 1000);
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  return min < 60 ? `${min} min ${s % 60} s` : `${Math.floor(min / 60)} h ${min % 60} min`;
}

/** Turns the Workers' log lines into one line a cycle, incident and notice; trouble of our own goes to stderr. */
export class Stream {
  #cycles = 0;
  readonly #waiting = new Map<string, { line: string; at: number; timer: NodeJS.Timeout }>();

  constructor(
    private readonly term: Term,
    private readonly now: () => number = Date.now,
  ) {}

  take(e: LogEvent): void {
    if (e.event === "cycle.done") this.#cycle(e);
    else if (e.event === "incident.opened") this.#opened(e);
    else if (e.event === "incident.resolved") this.#resolved(e);
    else if (e.event === "notice.sent") this.#notice(e);
    else if (e.event === "wake.done") this.#told(e);
    else if (e.level === "warn" || e.level === "error") this.#trouble(e);
  }

  /** Prints what still waits for its notice. */
  flush(): void {
    for (const incident of [...this.#waiting.keys()]) this.#release(incident, "");
  }

  #line(body: string): void {
    this.term.out(`${this.term.paint("muted", clockText(this.now()))}  ${body}`);
  }

  #cycle(e: LogEvent): void {
    this.#cycles++;
    const due = num(e["due"]) ?? 0;
    this.#line(`cycle ${this.#cycles}   ${due} target${due === 1 ? "" : "s"}   ${Math.round(num(e["ms"]) ?? 0)} ms`);
  }

  #opened(e: LogEvent): void {
    const incident = text(e["incident"]);
    const state = SEVERITY[text(e["severity"])] ?? SEVERITY["critical"]!;
    const confirmed = text(e["confirmed_by"]);
    const line =
      `${this.term.paint(state.style, state.sign)} ${text(e["target"])}   ${state.word}` +
      `${confirmed ? `, confirmed ${confirmed.replace(/ looks$/, "")}` : ""}   incident ${shortId(incident)}`;
    const timer = setTimeout(() => this.#release(incident, ""), NOTICE_WAIT_MS);
    timer.unref();
    this.#waiting.set(incident, { line, at: this.now(), timer });
  }

  #resolved(e: LogEvent): void {
    const ms = num(e["downtime_ms"]);
    this.#line(
      `${this.term.paint("ok", ".")} ${text(e["target"])}   ok again${ms === null ? "" : `, down ${span(ms)}`}   incident ${shortId(text(e["incident"]))}`,
    );
  }

  #notice(e: LogEvent): void {
    const incident = text(e["incident"]);
    const waiting = this.#waiting.get(incident);
    if (waiting) this.#release(incident, `   notice sent in ${seconds(this.now() - waiting.at)}`);
    else if (e["event_name"] !== "recovered" || !incident)
      this.#line(
        `  notice sent: ${text(e["event_name"])} to ${text(e["channel"])}${incident ? `   incident ${shortId(incident)}` : ""}`,
      );
  }

  /** A wake that ended without a push: the inbox has it. */
  #told(e: LogEvent): void {
    if (e["channel"] === null || e["channel"] === "inbox") this.#release(text(e["incident"]), `   notice in the inbox`);
  }

  #release(incident: string, tail: string): void {
    const waiting = this.#waiting.get(incident);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(incident);
    this.#line(waiting.line + tail);
  }

  #trouble(e: LogEvent): void {
    const { level, scope, event, ...rest } = e;
    const fields = Object.entries(rest).map(([k, v]) => `${k}=${typeof v === "string" ? v : JSON.stringify(v)}`);
    const style: Style = level === "error" ? "down" : "degraded";
    this.term.err(`${clockText(this.now())}  ${this.term.paint(style, level)} ${scope} ${event}   ${fields.join(" ")}`);
  }
}
