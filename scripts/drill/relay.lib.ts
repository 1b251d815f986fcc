import { type HostAgent, type LegacyAgent, startHostAgent, startLegacyAgent } from "../../test/support/agents";
import { DrillClient } from "../../test/support/drill-client";
import type { Ask, Kind, Moment, Place, Point, Scene } from "../../test/support/drill-client.types";
import { type Sandbox, sleep } from "../lib/sandbox";

/** Who takes part in `npm run drill -- relay`, and where a kill finds them. */

export const POINTS: Point[] = ["before ack", "mid-stream", "before delivery"];
export const VICTIMS = ["client", "agent", "runtime"] as const;
export type Victim = (typeof VICTIMS)[number];

const HOSTS = 4;
const LEGACY = 2;
const CLIENTS: Record<Kind, number> = { host: 24, legacy: 8, own: 24 };

/** An agent that announces itself, and comes back whenever it has lost its relay. */
export class KeptAgent {
  /** Wall ms before which it stays away. */
  #away = 0;
  #on = true;
  readonly #kept: Promise<void>;

  constructor(readonly agent: HostAgent | LegacyAgent) {
    this.#kept = this.#keep();
  }

  get answers(): Map<string, string> {
    return "host" in this.agent ? this.agent.host.answers : this.agent.answers;
  }
  get ran(): string[] {
    return "host" in this.agent ? this.agent.host.ran : this.agent.ran;
  }

  cut(away: number): void {
    this.#away = Date.now() + away;
    this.agent.cut();
  }

  async #keep(): Promise<void> {
    for (;;) {
      await this.agent.gone();
      while (this.#on) {
        await sleep(Math.max(100, this.#away - Date.now()));
        if (!this.#on) return;
        const back = await this.agent.again().then(
          () => true,
          () => false,
        );
        if (back) break;
        this.agent.cut();
      }
      if (!this.#on) return;
    }
  }

  async stop(): Promise<void> {
    this.#on = false;
    this.agent.stop();
    await this.#kept;
  }
}

export interface Cast {
  agents: KeptAgent[];
  clients: DrillClient[];
  /** Resolves with the next moment that fits, or null after `ms`. Runs on in the same tick as what it waits for. */
  moment(fits: (m: Moment) => boolean, ms: number): Promise<Moment | null>;
}

/** Agents first, then clients of each kind; `scene.moment` is set here. */
export async function assemble(box: Sandbox, scene: Scene, service: string): Promise<Cast> {
  const relay = scene.http.replace("http", "ws");
  const agents: KeptAgent[] = [];
  for (let i = 0; i < HOSTS; i++)
    agents.push(new KeptAgent(await startHostAgent({ relay, name: `drill host ${i} ${scene.http}` })));
  for (let i = 0; i < LEGACY; i++)
    agents.push(new KeptAgent(await startLegacyAgent({ relay, name: `drill legacy ${i} ${scene.http}` })));
  const { address } = (await (await box.rt.fetch("/info")).json()) as { address: string };
  const clients: DrillClient[] = [];
  for (const kind of ["host", "legacy", "own"] as const)
    for (let i = 0; i < CLIENTS[kind]; i++) {
      const name = `k${String(clients.length).padStart(3, "0")}`;
      const near = agents[kind === "host" ? i % HOSTS : HOSTS + (i % LEGACY)]!;
      if (kind === "own") await addTarget(box, service, name);
      clients.push(new DrillClient(name, placeOf(kind, kind === "own" ? address : near.agent.address, name), scene));
    }
  const waiting = new Set<(m: Moment) => void>();
  scene.moment = (m) => {
    for (const hear of waiting) hear(m);
  };
  for (const { agent } of agents) {
    const told = "host" in agent ? agent.host : agent;
    told.onAnswer = (prompt) => {
      scene.answered.set(prompt, Date.now());
      const client = clients.find((c) => c.current?.prompts.includes(prompt));
      if (client) scene.moment({ point: "before delivery", client: client.name, kind: client.place.kind });
    };
  }
  return {
    agents,
    clients,
    moment: (fits, ms) =>
      new Promise((resolve) => {
        const end = (m: Moment | null): void => {
          waiting.delete(hear);
          clearTimeout(timer);
          resolve(m);
        };
        const hear = (m: Moment): void => (fits(m) ? end(m) : undefined);
        const timer = setTimeout(end, ms, null);
        waiting.add(hear);
      }),
  };
}

/** The built-in agent answers by rules; a target of the client's own makes its answers its own. */
async function addTarget(box: Sandbox, service: string, name: string): Promise<void> {
  const config = { url: `${service}/${name}` };
  await box.api.call("POST", "/api/v1/targets", {
    id: `own-${name}`,
    name: `own-${name}`,
    kind: "http",
    every: "1h",
    config,
  });
}

function placeOf(kind: Kind, address: string, name: string): Place {
  const between = (random: () => number, from: number, to: number): number =>
    from + Math.floor(random() * (to - from + 1));
  return {
    kind,
    address,
    prompt: (token, random) =>
      kind === "host"
        ? `count ${between(random, 3, 12)} ${between(random, 5, 40)} ${token}`
        : kind === "legacy"
          ? `slow ${between(random, 10, 90)} ${token} answered`
          : `status of own-${name}, question ${token}?`,
  };
}

/** Where an ask stands, as the outside can tell; null: nothing of it is under way. */
export function pointOf(ask: Ask | null, { answered }: Scene): Point | null {
  if (!ask || ask.sends === 0 || ask.end !== null) return null;
  if (ask.said || ask.prompts.every((p) => answered.has(p))) return "before delivery";
  return ask.accepted === null ? "before ack" : "mid-stream";
}
