import { DurableObject } from "cloudflare:workers";
import { describe } from "../src/kernel/errors";
import { runtimeOf } from "../src/kernel/runtime";
import type { AgentShape, Claimable } from "../src/relay";
import { type Claim, claimSignature, forgetExpired, LEDGER_SCHEMA } from "../src/session";
import {
  type Advance,
  advanceProbe,
  type ClaimAnswer,
  type ClaimAsk,
  type ClaimRecord,
  claimProbe,
  forgetProbes,
  probeRecord,
} from "../src/slo";
import { agentLine } from "./agent-line.do";
import { type TellAsk, type Told, tellOverRelay } from "./agent-tell";
import type { ObjectEnv } from "./env";

/** Where an agent can be reached now. */
export interface Located {
  line: string | null;
  shape: AgentShape;
  /** What came of the claim; `down` when the ledger could not answer, null when none was asked. */
  claim: Claim | "down" | null;
}

export interface AnnounceAsk {
  line: string;
  /** Wall seconds, as signed. */
  timestamp: number;
  signature_hash: string;
  shape: AgentShape;
}

export type AgentMethods = Pick<Agent, "locate" | "announce" | "left" | "claim">;

/** The object of one agent, by its address. */
export const agentObject = (namespace: DurableObjectNamespace, address: string): AgentMethods =>
  namespace.get(namespace.idFromName(address)) as unknown as AgentMethods;

/** The last announcement; `line` is empty once that line has ended. */
type Current = AnnounceAsk;

/** An agent that comes back within the second it announced in signs the same bytes again, seconds. */
const SAME_SECOND_S = 5;

/** How often used signatures that can't be valid any more are forgotten, seconds. */
const FORGET_EVERY_S = 300;

/**
 * The home of one agent's address: which line is live, and the ledger of used signatures. It holds no socket: the line's own
 * object routes, so a frame never passes through here (docs/decisions/012-relay-lines.md).
 */
export class Agent extends DurableObject<ObjectEnv> {
  #forgotAt = 0;
  #made = false;

  #current(): Current | null {
    return this.ctx.storage.kv.get<Current>("current") ?? null;
  }

  /** Where the agent is, and the claim of a CONNECT's signature in the same step. `now_s` in wall seconds. */
  locate(ask: { claim: Claimable | null; now_s: number }): Located {
    const current = this.#current();
    return {
      line: current?.line || null,
      shape: current?.shape ?? "host",
      // Nobody to reach, nothing to replay; and whoever asks for an address that never was must leave nothing here.
      claim: ask.claim === null || !current?.line ? null : this.claim(ask.claim, ask.now_s),
    };
  }

  /** Claims a signature once. */
  claim(claim: Claimable, now_s: number, more: { owns_session?: boolean } = {}): Claim | "down" {
    try {
      // Not in the constructor: an object is made for every address somebody asks for, and most never announce themselves.
      if (!this.#made) this.ctx.storage.sql.exec(LEDGER_SCHEMA);
      this.#made = true;
      if (now_s - this.#forgotAt > FORGET_EVERY_S) {
        forgetExpired(this.ctx.storage.sql, now_s);
        this.#forgotAt = now_s;
      }
      return claimSignature(this.ctx.storage.sql, claim, now_s, more);
    } catch (error) {
      runtimeOf(this.env, "agent").log("error", "relay.ledger_failed", { error: describe(error) });
      return "down";
    }
  }

  /**
   * A verified ANNOUNCE. The newest line wins and the older one ends; a timestamp never goes back, and a signature that
   * another line has used is a replay.
   */
  async announce(ask: AnnounceAsk): Promise<{ ok: true } | { ok: false; error: string }> {
    const current = this.#current();
    if (current && ask.timestamp < current.timestamp)
      return { ok: false, error: `ANNOUNCE is older than the last one (${ask.timestamp} < ${current.timestamp})` };
    const { clock, log } = runtimeOf(this.env, "agent");
    const again = current && current.line !== ask.line && current.signature_hash === ask.signature_hash;
    if (again && (current.line !== "" || clock.wall() / 1000 - ask.timestamp > SAME_SECOND_S))
      return { ok: false, error: "unauthorized: this ANNOUNCE was already used" };
    this.ctx.storage.kv.put<Current>("current", ask);
    if (current?.line && current.line !== ask.line) {
      try {
        await agentLine(this.env.AGENT_LINE, current.line).replaced();
      } catch (error) {
        // It will find out by itself: its next announcement is refused, or its silence ends it.
        log("warn", "relay.replace_failed", { error: describe(error) });
      }
    }
    return { ok: true };
  }

  /** A line has ended. True when it was the live one: the agent is offline now. */
  left(line: string): boolean {
    const current = this.#current();
    if (current?.line !== line) return false;
    this.ctx.storage.kv.put<Current>("current", { ...current, line: "" });
    return true;
  }

  /** Hands a prompt to this agent as a client of the relay would: a hook's message (wake-slo §1.3). */
  tell(ask: TellAsk): Promise<Told> {
    return tellOverRelay(this.env, runtimeOf(this.env, "agent"), ask);
  }

  // The object `slo:{agent id}`: probes this agent answers (wake-slo §5). Its name is no address, so it has no lines.

  /** Takes a probe for one run of the responder. */
  claimProbe(ask: ClaimAsk): ClaimAnswer {
    if (ask.now / 1000 - this.#forgotAt > FORGET_EVERY_S) {
      forgetProbes(this.ctx.storage, ask.now);
      this.#forgotAt = ask.now / 1000;
    }
    return claimProbe(this.ctx.storage, ask);
  }

  /** Writes a step of the run that holds the claim. False: it is another's by now. */
  advanceProbe(step: Advance): boolean {
    return advanceProbe(this.ctx.storage, step);
  }

  /** What is known of a probe sent to this agent: the claim is the evidence of L2 (wake-slo §6.1). */
  probeRecord(messageId: string): ClaimRecord | null {
    return probeRecord(this.ctx.storage, messageId);
  }
}
