import { randomUUID } from "node:crypto";
import { dialer, type Json, ScriptedGateway } from "../../test/support/gateway";
import type { Dial } from "../../test/support/gateway-core";
import { type PausingProxy, startPausingProxy } from "../../test/support/pausing-proxy";
import { type Sandbox, sleep } from "../lib/sandbox";

/** The gateways of `npm run drill -- connector`: what each received, handled, acked and answered, written down outside. */

/** A platform's person and the chat with them. */
export interface Chat {
  /** Short name, the head of its tokens. */
  name: string;
  platform: "slack" | "telegram";
  chat: string;
  user: string;
  house: House;
}

/** One socket of a gateway, as its end of the wire saw it. */
export interface Wire {
  /** Tokens in the order in which they came. */
  came: string[];
  ended: boolean;
}

export interface Handling {
  token: string;
  chat: string;
  wire: Wire;
}

export interface Reply {
  chat: Chat;
  content: string;
  tries: number;
  /** `cut`: its socket went before the answer came, so nobody can know. */
  end: "success" | "ambiguous" | "cut" | "failed" | "unanswered" | null;
  error: string;
}

/** Where the next handling of a house is cut. */
export type CutAt = "before handling" | "before ack" | "after ack";

const ANSWER_MS = 28_000;
const TRIES = 3;
const REPLY_SHARE = 0.4;

/** One instance: its gateway, the proxy it dials through, and its ledgers. */
export class House {
  readonly wires: Wire[] = [];
  readonly handled: Handling[] = [];
  readonly replies: Reply[] = [];
  readonly gateway: ScriptedGateway;
  /** Set by the drill: runs once, at the next event. */
  armed: { at: CutAt; hit: () => void } | null = null;
  /** Until then nothing brings it back but the fault itself, wall ms. */
  away = 0;
  #wire: Wire | null = null;
  #answers = new Map<string, (result: Json | null) => void>();
  #handlings = 0;
  #stopped = false;

  constructor(
    readonly index: number,
    readonly proxy: PausingProxy,
    credentials: { id: string; secret: string },
    readonly random: () => number,
    readonly chatOf: (platform: string, chat: string) => Chat | undefined,
    /** A reply that is under way. */
    readonly later: (work: Promise<void>) => void,
  ) {
    this.gateway = new ScriptedGateway(
      {
        ...credentials,
        identities: [{ platform: "slack" }, { platform: "telegram" }],
        build: index % 2 === 0 ? "old" : "new",
        secondMs: 30,
        handle: (frame) => this.#handle(frame),
      },
      this.#dial(dialer(proxy.url)),
    );
    void this.#watch();
  }

  #dial(dial: Dial): Dial {
    return async (authorization, on) => {
      const wire: Wire = { came: [], ended: false };
      const end = (): void => this.#ended(wire);
      const link = await dial(authorization, {
        message: (data) => {
          for (const line of String(data).split("\n")) if (line !== "") this.#note(wire, JSON.parse(line) as Json);
          on.message(data);
        },
        close: (code, reason) => {
          end();
          on.close(code, reason);
        },
      });
      return {
        ...link,
        send: (data) => {
          // Of two dials at once the older one is closed without a word.
          if (!this.wires.includes(wire)) this.#greets(wire);
          link.send(data);
        },
      };
    };
  }

  #greets(wire: Wire): void {
    this.wires.push(wire);
    if (this.#wire) this.#ended(this.#wire);
    this.#wire = wire;
  }

  /** What was asked over it will not be answered. */
  #ended(wire: Wire): void {
    wire.ended = true;
    if (wire !== this.#wire) return;
    for (const answer of [...this.#answers.values()]) answer(null);
    this.#answers.clear();
  }

  #note(wire: Wire, frame: Json): void {
    // A line that was given up may be held by Reveille for a while: nobody reads what comes there.
    if (frame["type"] === "inbound" && !wire.ended) wire.came.push(String((frame["event"] as Json)["text"]));
    if (frame["type"] !== "outbound_result") return;
    const id = String(frame["requestId"]);
    this.#answers.get(id)?.(frame["result"] as Json);
    this.#answers.delete(id);
  }

  async #handle(frame: Json): Promise<void> {
    const wire = this.#wire!;
    if (this.random() < 0.3) await sleep(this.random() * 15);
    this.#cut("before handling");
    const event = frame["event"] as Json;
    const source = event["source"] as Json;
    const token = String(event["text"]);
    // Killed while it worked: then it did not get that far.
    if (wire !== this.#wire || !this.gateway.open) return;
    this.handled.push({ token, chat: String(source["chat_id"]), wire });
    const chat = this.chatOf(String(source["platform"]), String(source["chat_id"]));
    if (chat && this.random() < REPLY_SHARE) this.later(this.#reply(chat, `re ${token} ${++this.#handlings}`));
    if (this.#cut("before ack")) return;
    if (this.armed?.at === "after ack") setImmediate(() => this.#cut("after ack"));
  }

  #cut(at: CutAt): boolean {
    if (this.armed?.at !== at) return false;
    const { hit } = this.armed;
    this.armed = null;
    hit();
    return true;
  }

  /** An agent's answer: again after a failure that says nothing was done, never after one that is not sure. */
  async #reply(chat: Chat, content: string): Promise<void> {
    const reply: Reply = { chat, content, tries: 0, end: null, error: "" };
    this.replies.push(reply);
    while (reply.tries < TRIES) {
      while (!this.gateway.open && !this.#stopped) await sleep(50);
      if (this.#stopped) return;
      reply.tries++;
      const result = await this.#ask(chat, content);
      reply.error = String(result?.["error"] ?? "");
      if (result === null) reply.end = "cut";
      else if (result["success"] === true) reply.end = "success";
      else if (result["unanswered"] === true) reply.end = "unanswered";
      else reply.end = result["ambiguous"] === true ? "ambiguous" : "failed";
      if (reply.end !== "failed") return;
      await sleep(Math.min(Number(result?.["retry_after_ms"] ?? 200), 1_500));
    }
  }

  /** null: the socket went first. */
  #ask({ platform, chat }: Chat, content: string): Promise<Json | null> {
    const requestId = randomUUID().replaceAll("-", "");
    return new Promise((resolve) => {
      const timer = setTimeout(() => end({ unanswered: true }), ANSWER_MS);
      const end = (result: Json | null): void => {
        clearTimeout(timer);
        this.#answers.delete(requestId);
        resolve(result);
      };
      this.#answers.set(requestId, end);
      const action = { op: "send", chat_id: chat, content, reply_to: null, metadata: {} };
      this.gateway.send({ type: "outbound", requestId, platform, botId: "", action });
    });
  }

  /** Its process dies and comes back after `ms`. */
  kill(ms: number): void {
    this.away = Date.now() + ms;
    this.#ended(this.#wire!);
    this.gateway.kill();
    setTimeout(() => this.#dialAgain(), ms);
  }

  /** It gives its line up without a word, and dials a new one. */
  redial(): void {
    this.#ended(this.#wire!);
    this.gateway.freeze();
    this.#dialAgain(false);
  }

  #dialAgain(fresh = true): void {
    if (this.#stopped) return;
    (fresh ? this.gateway.restart() : this.gateway.connect()).catch(() => {});
  }

  /** Whatever happened to its line: a gateway's supervisor starts it again. */
  async #watch(): Promise<void> {
    for (let missing = 0; !this.#stopped; await sleep(500)) {
      missing = this.gateway.open || this.away > Date.now() ? 0 : missing + 1;
      if (missing === 8) this.#dialAgain();
      if (missing === 8) missing = 0;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.gateway.stop();
    await this.proxy.close();
  }
}

const HOUSES = 6;
/** Chats of each platform in a house. */
const CHATS = 4;
/** The Slack team of a house. */
export const teamOf = (house: number): string => `T0DRILL${house}`;

export interface Cast {
  houses: House[];
  chats: Chat[];
  /** Replies that are not ended. */
  talking: Set<Promise<void>>;
}

/** Tenants, gateways and linked people, each gateway on its line. */
export async function assemble(box: Sandbox, random: () => number): Promise<Cast> {
  const chats: Chat[] = [];
  const byChat = new Map<string, Chat>();
  const houses: House[] = [];
  const talking = new Set<Promise<void>>();
  for (let h = 0; h < HOUSES; h++) {
    const to = { tenant: `drill-${h}`, instance: "one" };
    await box.api.call("POST", "/api/v1/tenants", { id: to.tenant });
    const scope = { platform: "slack", scope_id: teamOf(h), tenant: to.tenant };
    await box.api.call("POST", "/api/v1/scopes", scope);
    const identities = ["slack", "telegram"].map((platform) => ({ platform, bot_id: "" }));
    const made = await box.api.call<{ gateway: { id: string }; secret: string }>("POST", "/api/v1/gateways", {
      ...to,
      identities,
    });
    const proxy = await startPausingProxy(() => box.rt.port);
    const later = (work: Promise<void>): void => {
      talking.add(work);
      void work.finally(() => talking.delete(work));
    };
    const find = (platform: string, chat: string): Chat | undefined => byChat.get(`${platform} ${chat}`);
    const house = new House(h, proxy, { id: made.gateway.id, secret: made.secret }, random, find, later);
    houses.push(house);
    for (const platform of ["slack", "telegram"] as const)
      for (let c = 0; c < CHATS; c++) {
        const n = String(chats.length).padStart(2, "0");
        const slack = platform === "slack";
        const user = slack ? `U0DRILL${n}` : `9000${n}`;
        const chat: Chat = { name: `k${n}`, platform, chat: slack ? `D0DRILL${n}` : user, user, house };
        chats.push(chat);
        byChat.set(`${platform} ${chat.chat}`, chat);
        const scope_id = slack ? teamOf(h) : "";
        await box.api.call("POST", "/api/v1/bindings", { ...to, platform, user_id: user, scope_id });
      }
    await house.gateway.connect();
  }
  return { houses, chats, talking };
}
