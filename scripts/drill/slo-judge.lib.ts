import type { QoopiaLedger } from "../../test/support/qoopia.types";
import type { Knock } from "../../test/support/wake-receiver.types";
import type { Measure } from "../lib/measure";
import { type Agent, type Gate, PASS_HEADER, POINTS, type Point } from "./slo.lib";
import type { Said, Sender } from "./slo-send.lib";

/** `npm run drill -- slo`: the ledgers of the peer and of the receivers, held against what the sender was told. */

const GOALS = {
  unaccepted: "wakes never accepted",
  unanswered: "accepted probes without a pong",
  answered_twice: "probes with two pongs",
  wrong: "pongs with another text or identity",
  told: "probes told as messages",
  lost: "accepted messages lost",
  doubled: "messages doubled, their answer not lost",
  strayed: "messages at another's receiver, or nobody's",
  refused: "signed pushes refused",
  left: "rows that never ended",
  unkilled: "steps never killed at",
};
type Goal = keyof typeof GOALS;
export interface Fault {
  goal: Goal;
  what: string;
}

/** A kill, and in which start of the runtime. */
export interface Kill {
  point: Point;
  life: number;
  at: number;
}

export interface Seen {
  agent: Agent;
  ledger: QoopiaLedger;
  knocks: Knock[];
}

/** An answer that came this shortly before its runtime died may not have been written: ms. */
const UNWRITTEN = 200;

/** A message at a receiver. */
interface Arrival {
  wake: string;
  pass: number;
}

export function audit(
  sender: Sender,
  seen: Seen[],
  receiver: Gate,
  kills: Kill[],
  planned: number,
  left: string[],
): { faults: Fault[]; measures: Measure[] } {
  const faults: Fault[] = [];
  const fault = (goal: Goal, what: string): void => void faults.push({ goal, what });
  const pongs = judgePongs(sender.said, seen, fault);
  const repeated = judgeMessages(sender.said, seen, receiver, kills, fault);
  for (const said of sender.said) if (!said.accepted) fault("unaccepted", said.id);
  for (const what of sender.refused) fault("refused", what);
  for (const what of left) fault("left", what);
  const hits = (point: Point): number => kills.filter((k) => k.point === point).length;
  for (const point of POINTS) if (hits(point) === 0) fault("unkilled", point);

  const plain = (name: string, label: string, value: number): Measure => ({
    ...{ name: `slo.${name.replace(/[^a-z0-9]+/g, "_")}`, label, value, unit: "", goal: null, compare: "=" },
  });
  const probes = sender.said.filter((s) => s.probe).length;
  const calls = (tool: string): number =>
    seen.reduce((n, { ledger }) => n + ledger.calls.filter((c) => c.tool === tool).length, 0);
  const measures: Measure[] = [
    { ...plain("pongs", "pongs at the peer", pongs), goal: probes },
    { ...plain("kills", "kills -9", kills.length), goal: Math.floor(planned * 0.9), compare: ">=" },
    ...(Object.keys(GOALS) as Goal[]).map((goal) => ({
      ...plain(goal, GOALS[goal], faults.filter((f) => f.goal === goal).length),
      goal: 0,
      beside: faults.find((f) => f.goal === goal)?.what.slice(0, 120) ?? null,
    })),
    plain("repeated", "messages repeated, their answer lost", repeated.lost),
    plain("repeated_unwritten", `messages repeated, killed within ${UNWRITTEN} ms of it`, repeated.unwritten),
    { ...plain("longest_unwritten", "longest from such an answer to the kill", repeated.longest), unit: "ms" },
    plain("acks", "acks asked of the peer", calls("agent_ack")),
    plain("replies", "replies asked of the peer", calls("agent_reply")),
    plain(
      "deduplicated",
      "of these dropped by their key",
      seen.reduce((n, s) => n + s.ledger.deduplicated, 0),
    ),
    plain("pushes", "pushes", sender.pushes),
    plain("mixed", "pushes with both kinds", sender.mixed),
    plain("again", "accepted pushes sent again", sender.repeats),
    ...POINTS.map((point) => plain(`kill_${point}`, `killed at: ${point}`, hits(point))),
  ];
  return { faults, measures };
}

/** Exactly one pong a probe, word for word, by its recipient. Returns how many there are. */
function judgePongs(all: Said[], seen: Seen[], fault: (goal: Goal, what: string) => void): number {
  let n = 0;
  for (const { agent, ledger } of seen) {
    const mine = new Map(all.filter((s) => s.agent === agent && s.probe).map((s) => [s.session, s]));
    const count = new Map<Said, number>();
    for (const pong of ledger.pongs) {
      n++;
      const said = mine.get(pong.session);
      const right = said?.body.replace("PING", "PONG") === pong.body && pong.by === agent.id;
      if (!said || !right) fault("wrong", `${pong.session} got "${pong.body}" from ${pong.by}`);
      if (said) count.set(said, (count.get(said) ?? 0) + 1);
    }
    for (const said of mine.values()) {
      const got = count.get(said) ?? 0;
      if (said.accepted && got === 0) fault("unanswered", `${said.id} at ${agent.name}`);
      if (got > 1) fault("answered_twice", `${said.id} has ${got}`);
    }
  }
  return n;
}

interface Repeated {
  lost: number;
  unwritten: number;
  /** Longest gap of the unwritten, ms. */
  longest: number;
}

/** Each message at its receiver once; again only when the answer to the call before was lost, or came too late to be written. Returns how many came again so. */
function judgeMessages(
  all: Said[],
  seen: Seen[],
  receiver: Gate,
  kills: Kill[],
  fault: (goal: Goal, what: string) => void,
): Repeated {
  const byId = new Map(all.map((s) => [s.id, s]));
  const arrivals = new Map<Said, Arrival[]>();
  for (const { agent, knocks } of seen)
    for (const knock of knocks) {
      const wake = knock.headers["idempotency-key"] ?? "";
      const { payload } = JSON.parse(knock.body) as {
        payload: { messages: { message_id: string; body: string }[] };
      };
      for (const m of payload.messages) {
        const said = byId.get(m.message_id);
        if (said?.agent !== agent || said.body !== m.body) fault("strayed", `${m.message_id} at ${agent.name}`);
        else if (said.probe) fault("told", `${said.id} at ${agent.name}`);
        else arrivals.set(said, [...(arrivals.get(said) ?? []), { wake, pass: Number(knock.headers[PASS_HEADER]) }]);
      }
    }
  /** Ms from a call's answer to the kill of its runtime; 0: the answer was lost; Infinity: neither can explain a second call. */
  const gapOf = ({ pass }: Arrival): number => {
    const { life, answered_at } = receiver.passes[pass]!;
    if (answered_at === null) return 0;
    const killed = kills.find((k) => k.life === life);
    return killed ? Math.max(1, killed.at - answered_at) : Number.POSITIVE_INFINITY;
  };
  const repeated: Repeated = { lost: 0, unwritten: 0, longest: 0 };
  for (const said of all.filter((s) => !s.probe)) {
    const came = arrivals.get(said) ?? [];
    if (came.length === 0 && said.accepted) fault("lost", `${said.id} at ${said.agent.name}`);
    came.slice(1).forEach((again, i) => {
      // The receiver can tell a repeat by the wake's id, which is the call's idempotency key.
      const gap = gapOf(came[i]!);
      if (again.wake === came[0]!.wake && gap < UNWRITTEN) {
        repeated[gap === 0 ? "lost" : "unwritten"]++;
        repeated.longest = Math.max(repeated.longest, gap);
      } else fault("doubled", `${said.id} by ${came.map((c) => c.wake).join(", ")}`);
    });
  }
  return repeated;
}
