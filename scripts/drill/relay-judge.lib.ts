import { randomUUID } from "node:crypto";
import type { Ask, Goal, Scene } from "../../test/support/drill-client.types";
import { connectFrame, DrillLine } from "../../test/support/drill-line";
import { othersIn } from "../../test/support/drill-stream";
import type { Frame } from "../../test/support/onion-host";
import { keysOf } from "../../test/support/onion-keys";
import type { Measure } from "../lib/measure";
import { sleep } from "../lib/sandbox";
import { type Cast, POINTS, VICTIMS } from "./relay.lib";

/** `npm run drill -- relay`: the ledgers of clients and agents, and a stranger who tries to listen. */

/** How often a kill found a run at a point (`runtime mid-stream`), and kills by victim (`runtime`). */
export type Hits = Map<string, number>;

/** From this many kills on every point must have been hit by every victim. */
const MANY = 150;

const GOALS: Record<Goal, string> = {
  lost: "accepted inputs without a result for their owner",
  wrong: "results that are another's",
  doubled: "inputs with two runs or two results",
  foreign: "results a stranger could fetch",
  crossed: "frames at another client",
  gap: "gaps without a signal",
  repeat: "events told twice",
  stuck: "runs that hang",
};

/** A stranger names a session that runs just now, and listens for a while: it must hear nothing of it. */
export async function prowl(cast: Cast, scene: Scene): Promise<void> {
  // An id has an owner from the first INPUT that was taken under it (connectonion.md (c)).
  const owned = cast.clients.filter((c) => c.current !== null && (c.session?.tokens.length ?? 0) > 0);
  const victim = owned[Math.floor(scene.random() * owned.length)];
  const session = victim?.session?.id;
  if (!victim || !session) return;
  const keys = keysOf(randomUUID());
  const relayed = victim.place.kind !== "own";
  const heard = (line: DrillLine, frame: Frame, text: string): void => {
    const of = othersIn(text, "nobody");
    const id = frame["session_id"];
    const status = frame["type"] === "SESSION_STATUS";
    if (of.length > 0 || (id === session && !status) || (status && frame["status"] !== "not_found"))
      scene.faults.push({ goal: "crossed", what: `a stranger who named ${session} heard ${text.slice(0, 300)}` });
    if (frame["type"] === "CONNECTED") line.send({ type: "SESSION_STATUS", session: { session_id: session } });
  };
  const path = relayed ? "/ws/input" : scene.random() < 0.5 ? "/ws" : `/sessions/${session}/ws`;
  const line = await DrillLine.open(scene.http.replace("http", "ws") + path, scene.random, heard);
  const named = { session_id: session, last_msg_id: "0" };
  line?.send(connectFrame(keys, victim.place.address, scene.random() < 0.5, relayed, named));
  await sleep(2_000);
  line?.leave();
}

export function measures(
  cast: Cast,
  scene: Scene,
  hits: Hits,
  n: { started: number; done: number; killed: number; runs: number; kills: number },
): Measure[] {
  twice(cast, scene);
  const asks = new Set(cast.clients.flatMap((c) => c.asks));
  const of = (fits: (a: Ask) => boolean): number => [...asks].filter(fits).length;
  const plain = (name: string, label: string, value: number): Measure => ({
    name: `relay.${name}`,
    label,
    value,
    unit: "",
    goal: null,
    compare: "=",
  });
  const missed = VICTIMS.flatMap((v) => POINTS.map((p) => hits.get(`${v} ${p}`) ?? 0)).filter((x) => x === 0).length;
  return [
    { ...plain("runs", "runs", n.done), goal: n.runs, compare: ">=" },
    { ...plain("kills", "kills", n.killed), goal: n.kills, compare: ">=" },
    ...(Object.keys(GOALS) as Goal[]).map((goal) => ({
      ...plain(goal, GOALS[goal], scene.faults.filter((f) => f.goal === goal).length),
      goal: 0,
      beside: scene.faults.find((f) => f.goal === goal)?.what.slice(0, 160) ?? null,
    })),
    { ...plain("points_missed", "kill points never hit", missed), goal: n.kills >= MANY ? 0 : null },
    ...VICTIMS.flatMap((v) => [
      plain(`kills.${v}`, `kills of ${v === "runtime" ? "the runtime (-9)" : `${v} sockets`}`, hits.get(v) ?? 0),
      ...POINTS.map((p) => plain(`hit.${v}.${p.replace(" ", "_")}`, `  runs cut ${p}`, hits.get(`${v} ${p}`) ?? 0)),
    ]),
    ...(["host", "legacy", "own"] as const).flatMap((kind) => [
      plain(
        `asked.${kind}`,
        `asked ${{ host: "agents", legacy: "0.6.5 agents", own: "the built-in agent" }[kind]}`,
        of((a) => a.kind === kind),
      ),
      plain(
        `interrupted.${kind}`,
        "  ended interrupted or failed",
        of((a) => a.kind === kind && a.end !== null && a.end.status !== "done"),
      ),
    ]),
    ...(["line", "connected", "poll"] as const).map((how) =>
      plain(
        `by.${how}`,
        `results by ${{ line: "the line", connected: "CONNECTED", poll: "polling" }[how]}`,
        of((a) => a.end?.how === how),
      ),
    ),
    plain(
      "again",
      "inputs sent again",
      of((a) => a.sends > 1),
    ),
    plain("gaps_told", "gap signals", scene.troubles.get("gap signal") ?? 0),
  ];
}

/** The agents' own ledgers: a prompt that ran twice, a result that is not what was answered, an end that hides an answer. */
function twice(cast: Cast, scene: Scene): void {
  const ran = cast.agents.flatMap((a) => a.ran);
  const times = new Map<string, number>();
  for (const prompt of ran) times.set(prompt, (times.get(prompt) ?? 0) + 1);
  for (const [prompt, k] of times)
    if (k > 1) scene.faults.push({ goal: "doubled", what: `an agent ran "${prompt}" ${k} times` });
  const answers = new Map(cast.agents.flatMap((a) => [...a.answers]));
  for (const ask of new Set(cast.clients.flatMap((c) => c.asks))) {
    if (ask.kind === "own" || ask.end === null) continue;
    const said = ask.prompts.map((p) => answers.get(p));
    const told = ask.results.join("\n\n");
    if (
      ask.end.status === "done" &&
      !(ask.tokens.length === 1 ? told === said[0] : said.every((x) => x && told.includes(x)))
    )
      scene.faults.push({
        goal: "wrong",
        what: `${ask.tokens}: told "${ask.end.result}", the agent said "${said.join("\n\n")}"`,
      });
    // A newer agent keeps its sessions: what it has answered can always be had.
    if (ask.kind === "host" && ask.end.status !== "done")
      scene.faults.push({ goal: "lost", what: `${ask.tokens} ended ${ask.end.status}, the agent said "${said}"` });
  }
}
