import { createHmac } from "node:crypto";
import { sleep } from "../lib/sandbox";
import { type Agent, SENDER } from "./slo.lib";

/** The sender's side of `npm run drill -- slo`, by its rules (wake-slo §1.2): what it pushed, and what was accepted. */

/** One wake: a message to an agent, a probe or a real one. */
export interface Said {
  id: string;
  session: string;
  agent: Agent;
  probe: boolean;
  topic: string;
  body: string;
  made_at: string;
  /** An accepted push carried it. */
  accepted: boolean;
}

/** The sender waits this long for an answer, ms, and carries this many messages in one push. */
const PATIENCE = 5_000;
const CARRIES = 20;
/** Messages that are written at once, at most. */
const BURST = 4;
/** Accepted pushes that are sent again, as after an answer that was lost. */
const REPEATS = 0.05;

/** All wakes of a run, dealt to the agents; `share` of them are probes. */
export function plan(agents: Agent[], wakes: number, share: number, random: () => number): Said[] {
  const kinds = Array.from({ length: wakes }, (_, n) => n < Math.round(wakes * share));
  for (let i = kinds.length - 1; i > 0; i--) {
    const k = Math.floor(random() * (i + 1));
    [kinds[i], kinds[k]] = [kinds[k]!, kinds[i]!];
  }
  return kinds.map((probe, n) => {
    const at = new Date(Date.UTC(2026, 8, 21) + n * 1_000 + Math.floor(random() * 1_000)).toISOString();
    const agent = agents[Math.floor(random() * agents.length)]!;
    return {
      ...{ id: `01M${String(n).padStart(5, "0")}`, session: `01S${String(n).padStart(5, "0")}`, agent, probe },
      topic: probe ? `WAKE_SLO_PROBE_C2L_${1_790_000_000_000 + n}` : "lunch",
      body: probe ? `WAKE_SLO_PING ${at}` : `message ${n}`,
      ...{ made_at: at, accepted: false },
    };
  });
}

const asMessage = (said: Said): Record<string, unknown> => ({
  ...{ message_id: said.id, session_id: said.session, from_agent: SENDER.name, from_agent_id: SENDER.id },
  ...{ topic: said.topic, kind: "request", body: said.body, created_at: said.made_at.replace(/\.\d+Z$/, "Z") },
});

export class Sender {
  pushes = 0;
  mixed = 0;
  repeats = 0;
  /** How many wakes may have been written by now. */
  allowed = 0;
  /** Refusals of what is signed well. */
  readonly refused: string[] = [];
  #written = 0;

  constructor(
    readonly url: string,
    readonly said: Said[],
    readonly random: () => number,
    readonly stopped: () => boolean,
    /** A push is on its way; its answer has come. */
    readonly on: { pushed: () => void; accepted: () => void },
  ) {}

  get written(): number {
    return this.#written;
  }

  /** One agent's pushes, one at a time, until all of its messages are accepted. */
  async deliver(agent: Agent): Promise<void> {
    const mine = this.said.filter((s) => s.agent === agent);
    const waiting: Said[] = [];
    let taken = 0;
    let failed = 0;
    while (!this.stopped() && (taken < mine.length || waiting.length > 0)) {
      for (let n = 1 + Math.floor(this.random() * BURST); n > 0 && taken < mine.length; n--) {
        // Messages are written in the order of the plan, whoever's they are.
        if (this.said.indexOf(mine[taken]!) >= this.allowed) break;
        waiting.push(mine[taken++]!);
        this.#written++;
      }
      const batch = waiting.slice(0, CARRIES);
      if (batch.length === 0) {
        await sleep(20);
        continue;
      }
      if (await this.#push(agent, batch)) {
        waiting.splice(0, batch.length);
        for (const said of batch) said.accepted = true;
        failed = 0;
        if (this.random() < REPEATS) {
          this.repeats++;
          await this.#push(agent, batch);
        }
      } else await sleep(Math.min(100 * 2 ** failed++, 1_000));
    }
  }

  /** True: accepted, by the sender's own rule. */
  async #push(agent: Agent, batch: Said[]): Promise<boolean> {
    this.pushes++;
    if (batch.some((s) => s.probe) && batch.some((s) => !s.probe)) this.mixed++;
    const messages = batch.map(asMessage);
    const body = JSON.stringify({
      event_type: "agentcomm_wake",
      ...{ to_agent: agent.name, to_agent_id: agent.id, workspace_id: "01DRILL" },
      // Each message has a push of its own, which carries the others.
      ...messages[Math.floor(this.random() * messages.length)],
      ...{ message_count: messages.length, messages },
      messages_text: batch.map((s) => `> ${s.body}`).join("\n"),
    });
    const mac = createHmac("sha256", agent.secret).update(body).digest("hex");
    const answer = fetch(`${this.url}/hooks/${agent.hook}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-webhook-signature": mac },
      body,
      signal: AbortSignal.timeout(PATIENCE),
    });
    this.on.pushed();
    try {
      const response = await answer;
      const said = (await response.json()) as { accepted?: unknown };
      const accepted = response.ok && said.accepted === true;
      if (accepted) this.on.accepted();
      else if (response.status < 500) this.refused.push(`${agent.name}: ${response.status} ${JSON.stringify(said)}`);
      return accepted;
    } catch {
      return false;
    }
  }
}
