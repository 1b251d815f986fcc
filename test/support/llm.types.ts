/** Contract of the model providers' stand-in (llm.ts): how it answers, and what it saw. */

/** How one request is answered. Anything but `good` is a way providers and models fail. */
export interface LlmReply {
  mode:
    | "good"
    /** An investigation in JSON that cites the first evidence ids found in the prompt. */
    | "investigation"
    | "bad_json"
    /** 200 with a body that is no JSON. */
    | "bad_wire"
    | "slow"
    /** Takes the request and never answers. */
    | "hang"
    /** The connection is cut after the request was read. */
    | "drop"
    | "truncated"
    | "empty"
    /** Calls the tools of `tools`, or the first one offered. */
    | "tool"
    /** Calls tools that were not offered, with foreign targets. */
    | "hostile"
    /** Calls a tool in every turn, for ever. */
    | "loop"
    /** Answers without telling what it used. */
    | "no_usage"
    /** A redirect to another place. */
    | "redirect"
    /** Answers with this HTTP status. */
    | "status";
  status?: number;
  text?: string;
  tools?: { name: string; input: unknown }[];
  usage?: { input?: number; output?: number; cache_write?: number; cache_read?: number };
  /** ms before the answer. */
  delay?: number;
  /** Answers only after `release()`. */
  held?: boolean;
}

/** One request as the provider would log it. No key is kept. */
export interface LlmCall {
  wire: "anthropic" | "openai";
  model: string;
  /** What the prompt is about, as `LlmOptions.about` reads it; null without it. */
  about: string | null;
  messages: number;
  tools: string[];
  max_tokens: number | null;
  request_id: string | null;
  /** Whether a key came with it. */
  keyed: boolean;
  /** What it was answered with. */
  mode: LlmReply["mode"];
  /** Status sent; null when nothing was. */
  status: number | null;
  /** Tokens the provider counted, and so would bill. */
  usage: { input: number; output: number; cache_write: number; cache_read: number } | null;
  /** Hash of system and messages: equal prompts are equal here. */
  prompt_hash: string;
  at: number;
}

export interface LlmLedger {
  calls: LlmCall[];
  /** Requests refused because they are not true to the wire format. */
  malformed: string[];
}

export interface LlmControl {
  /** Forgets the ledger, the queue and the default. */
  reset?: boolean;
  /** Answers for the next requests, in order; added to those still waiting. */
  queue?: LlmReply[];
  /** The answer when the queue is empty; `good` unless set. */
  otherwise?: LlmReply;
}

/** For who starts the stand-in in its own process. */
export interface LlmOptions {
  /** Finds in the raw request what it is about (first group), so that the ledger tells whose call each one was. */
  about?: RegExp;
  /** Chooses the answer when no scripted one waits. `messages` is 1 in the first round of a call. */
  choose?(asked: { about: string | null; messages: number }): LlmReply;
}
