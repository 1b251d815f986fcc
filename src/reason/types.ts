import * as z from "zod";

/** Words of reasoning (`kora-watch.md` §6, §7). */

export const ROUTES = [
  "slack_dm",
  "email_inbound",
  "email_outbound_compose",
  "mcp_tool",
  "alert_investigation",
  "probe_investigation",
  "tool_loop_iteration",
  "scheduled_task",
  "trust",
  "unknown",
] as const;
export type Route = (typeof ROUTES)[number];

/** Why reasoning gave nothing; every one still ends in the plain notice. `sdk_4xx_n` carries the status, e.g. `sdk_4xx_422`. */
export type ReasoningError =
  | "cost_ladder_halted"
  | "operational_state_paused"
  | "sdk_timeout"
  | "sdk_auth"
  | "sdk_rate_limited"
  | "sdk_5xx"
  | `sdk_4xx_${number}`
  | "sdk_transport"
  | "unconfigured"
  | "empty_response_text"
  | "unpriced_model"
  | "truncated"
  | "invalid_output";

/** Tokens of one call as the provider counted them. */
export interface Usage {
  input: number;
  output: number;
  cache_write: number;
  cache_read: number;
}

/** A call that came back. `truncated`: cut by a token limit. */
export interface EngineOk {
  ok: true;
  text: string;
  model: string;
  provider: string;
  usage: Usage;
  ms: number;
  truncated: boolean;
  tool_calls: { name: string; input: unknown; output: unknown }[];
}
export interface EngineFail {
  ok: false;
  error: ReasoningError;
  /** One redacted line for the log and the row. */
  detail: string;
  model: string | null;
  usage: Usage | null;
  ms: number;
}
export type EngineResult = EngineOk | EngineFail;

/** A tool the model may call: read-only, over our own store, bounded in size. */
export interface Tool {
  name: string;
  description: string;
  input: z.ZodType;
  run(input: unknown): Promise<unknown>;
}

export interface EngineCall {
  route: Route;
  model: string;
  system: string;
  prompt: string;
  tools: Tool[];
  max_output_tokens: number;
  /** Model round trips at most, tool rounds included. */
  max_steps: number;
  /** Wall ms for all of it; at most 60,000 (`kora-watch.md` §7). */
  timeout_ms: number;
  /** Sent as `x-request-id`, so that the provider's log and our rows can be joined. */
  request_id?: string;
}

/** The one thing investigation, the built-in agent and (later) tier-two trust ask. Never throws. */
export interface Engine {
  /** `none` when nothing is configured. */
  name: string;
  small: string | null;
  large: string | null;
  call(call: EngineCall): Promise<EngineResult>;
}

/** What an investigation must answer. Evidence ids must exist in its context; the rest is dropped and counted. */
export const investigationSchema = z.object({
  summary: z.string().min(1).max(2_000),
  evidence: z.array(z.string().max(20)).max(30),
  confidence: z.number().min(0).max(1),
  likely_cause: z.string().max(600),
  next_step: z.string().max(600),
  proposed_action: z
    .object({ action: z.string().max(64), target_id: z.string().max(64), reason: z.string().max(400) })
    .nullish(),
});
export type Investigation = z.infer<typeof investigationSchema>;

/** One citable fact of an incident. `id` is E1, E2, ... in the order shown to the model. */
export interface Evidence {
  id: string;
  at: number | null;
  kind: "sample" | "snapshot" | "incident" | "target" | "deploy" | "vendor_status" | "timeline";
  text: string;
  /** The row of the incident's timeline behind it (L<ms>, A<id>, ...), when there is one. */
  ref?: string;
}

/** USD per million tokens. */
export interface Price {
  input: number;
  output: number;
  cache_write: number;
  cache_read: number;
}

export type Rung = "normal" | "warn_75" | "downshift_90" | "hard_stop_100";

/** What a caller asks before it spends. */
export interface BudgetAsk {
  call_id: string;
  route: Route;
  model: string;
  /** Price of the largest answer allowed; null = no known price, which refuses. */
  worst_usd: number | null;
  incident_id: string | null;
  /** Reveille time, ms. */
  at: number;
}

/**
 * Answer of `Budget.reserve`. `again`: this call was reserved before, so it may have been made; never make it twice. `busy`: it
 * will fit when calls that are under way settle for less than their worst case.
 */
export type Reserved =
  | { ok: true; call_id: string; rung: Rung; again: boolean }
  | { ok: false; error: "cost_ladder_halted" | "unpriced_model"; why: string; busy: boolean };

/** What one route cost; `day` is a true sliding 24 h. */
export interface RouteSpend {
  day: { usd: number; calls: number };
  month: { usd: number; calls: number };
  /** Most it may cost within 24 h, or null. */
  cap_usd: number | null;
}

/** The budget at a moment. All money is USD. */
export interface BudgetState {
  at: number;
  /** UTC month, `2026-11`. */
  month: string;
  resets_at: number;
  pool: number;
  spent: number;
  /** Taken out for calls that are not settled yet. */
  reserved: number;
  left: number;
  /** Spent share of the pool; at least 1 once a call was refused because too little is left. */
  share: number;
  rung: Rung;
  calls: number;
  by_route: Partial<Record<Route, RouteSpend>>;
}

/** A reservation whose call never came back: settled from its cost row, or counted in full after 24 h. */
export interface Leftover {
  call_id: string;
  at: number;
  route: Route;
  model: string;
  incident_id: string | null;
  reserved_usd: number;
  /** 24 h have passed: the budget counts it as spent. */
  lost: boolean;
}

/** The Budget object as reasoning sees it (`durable-objects/budget.do.ts`). */
export interface BudgetPort {
  reserve(ask: BudgetAsk): Promise<Reserved>;
  /** `usd` null keeps the reserved sum as spent: the provider may have billed it. A second settle never lowers the first. */
  settle(call_id: string, usd: number | null, at: number): Promise<void>;
  state(at: number): Promise<BudgetState>;
  leftovers(at: number): Promise<Leftover[]>;
  /** Shares (50, 75, 90, 100 %) reached this month that nobody was told of yet. */
  crossed(at: number): Promise<number[]>;
  told(at: number, threshold: number): Promise<void>;
}
