import * as z from "zod";

/**
 * Every frame of connectonion.md (c) and (d), by `type`. Loose: a field we do not know stays, because agents and clients of
 * other versions read it. Limits are on what we store or show.
 */

const ID = z.string().min(1).max(256);
const address = z.string().max(80);
const session = z.looseObject({ session_id: ID.nullish() });
const envelope = {
  payload: z.looseObject({}).optional(),
  from: z.string().optional(),
  signature: z.string().optional(),
  timestamp: z.number().optional(),
  to: address.optional(),
  session_id: ID.nullish(),
};
const file = z.looseObject({ name: z.string().max(1024), data: z.string() });

const connect = z.looseObject({
  ...envelope,
  type: z.literal("CONNECT"),
  session: session.nullish(),
  last_msg_id: z.union([z.string().max(256), z.number()]).nullish(),
  protocol: z.unknown().optional(),
});
const input = z.looseObject({
  ...envelope,
  type: z.literal("INPUT"),
  input_id: ID.nullish(),
  // A first-generation relay frame may carry the prompt in the payload alone.
  prompt: z.string().optional(),
  images: z.array(z.string()).nullish(),
  files: z.array(file).nullish(),
  session: session.nullish(),
});
const pong = z.looseObject({ type: z.literal("PONG") });
const askUserResponse = z.looseObject({
  ...envelope,
  type: z.literal("ASK_USER_RESPONSE"),
  answer: z.unknown().optional(),
});
const approvalResponse = z.looseObject({
  ...envelope,
  type: z.literal("APPROVAL_RESPONSE"),
  approved: z.boolean(),
  scope: z.enum(["once", "session"]).default("once"),
  feedback: z.string().nullish(),
  mode: z.enum(["reject_hard", "reject_soft", "reject_explain"]).default("reject_hard"),
});
const planReviewResponse = z.looseObject({ ...envelope, type: z.literal("PLAN_REVIEW_RESPONSE") });
const ulwResponse = z.looseObject({ ...envelope, type: z.literal("ULW_RESPONSE") });
const modeChange = z.looseObject({
  ...envelope,
  type: z.literal("mode_change"),
  mode: z.string().min(1).max(64),
  turns: z.number().nullish(),
});
const sessionStatusAsk = z.looseObject({ ...envelope, type: z.literal("SESSION_STATUS"), session: session.nullish() });
const onboardSubmit = z.looseObject({ ...envelope, type: z.literal("ONBOARD_SUBMIT") });
const exec = z.looseObject({
  ...envelope,
  type: z.literal("EXEC"),
  exec_id: ID,
  tool: z.string().min(1).max(256),
  args: z.looseObject({}).nullish(),
});
const interrupt = z.looseObject({ ...envelope, type: z.literal("INTERRUPT") });

/** Admin frames and what each does; ADD and REMOVE need the super admin and name `admin_id`. */
export const ADMIN_ACTIONS = {
  ADMIN_PROMOTE: "promote",
  ADMIN_DEMOTE: "demote",
  ADMIN_BLOCK: "block",
  ADMIN_UNBLOCK: "unblock",
  ADMIN_GET_LEVEL: "get_level",
  ADMIN_ADD: "add_admin",
  ADMIN_REMOVE: "remove_admin",
} as const;
const admin = <T extends keyof typeof ADMIN_ACTIONS>(type: T) => z.looseObject({ ...envelope, type: z.literal(type) });

export const clientFrameSchema = z.discriminatedUnion("type", [
  connect,
  input,
  pong,
  askUserResponse,
  approvalResponse,
  planReviewResponse,
  ulwResponse,
  modeChange,
  sessionStatusAsk,
  onboardSubmit,
  exec,
  interrupt,
  admin("ADMIN_PROMOTE"),
  admin("ADMIN_DEMOTE"),
  admin("ADMIN_BLOCK"),
  admin("ADMIN_UNBLOCK"),
  admin("ADMIN_GET_LEVEL"),
  admin("ADMIN_ADD"),
  admin("ADMIN_REMOVE"),
]);
export type ClientFrame = z.infer<typeof clientFrameSchema>;
export type ClientFrameType = ClientFrame["type"];
export type ClientFrameOf<T extends ClientFrameType> = Extract<ClientFrame, { type: T }>;
export const CLIENT_FRAME_TYPES: ReadonlySet<string> = new Set(
  clientFrameSchema.options.map((option) => option.shape.type.value),
);

/** Frames that stay unsigned on a connection whose CONNECT asked for signed commands. */
export const UNSIGNED_ALWAYS: ReadonlySet<string> = new Set(["CONNECT", "PONG", "SESSION_STATUS", "ONBOARD_SUBMIT"]);

const text = z.string();
const numberOrNull = z.number().nullish();
const connected = z.looseObject({
  type: z.literal("CONNECTED"),
  session_id: ID,
  status: z.enum(["new", "connected", "running"]),
  server_newer: z.boolean().optional(),
  session: session.optional(),
  chat_items: z.array(z.unknown()).optional(),
});
const agentProfile = z.looseObject({ type: z.literal("AGENT_PROFILE"), name: text, address: text });
const ping = z.looseObject({ type: z.literal("PING") });
const output = z.looseObject({
  type: z.literal("OUTPUT"),
  // Any JSON: an agent may answer with a structure.
  result: z.unknown().optional(),
  session_id: ID.nullish(),
  input_id: ID.nullish(),
  duration_ms: numberOrNull,
  session: session.nullish(),
});
const error = z.looseObject({
  type: z.literal("ERROR"),
  message: text.optional(),
  error: text.optional(),
  code: z.union([text, z.number()]).nullish(),
  retryable: z.boolean().nullish(),
  session_id: ID.nullish(),
});
const sessionStatus = z.looseObject({
  type: z.literal("SESSION_STATUS"),
  session_id: z.string().nullish(),
  status: z.enum(["running", "connected", "not_found"]),
});
const onboardRequired = z.looseObject({
  type: z.literal("ONBOARD_REQUIRED"),
  identity: text,
  methods: z.array(text),
  payment_amount: numberOrNull,
  payment_address: text.nullish(),
});
const onboardSuccess = z.looseObject({
  type: z.literal("ONBOARD_SUCCESS"),
  identity: text,
  level: text,
  message: text,
});
const adminResult = z.looseObject({ type: z.literal("ADMIN_RESULT"), action: text });
const runtimeInputAck = z.looseObject({ type: z.literal("RUNTIME_INPUT_ACK"), session_id: ID, id: ID });
const modeChanged = z.looseObject({ type: z.literal("mode_changed"), mode: text, session_id: ID.nullish() });
const dashboardSnapshot = z.looseObject({ type: z.literal("DASHBOARD_SNAPSHOT"), html: text });
const sessionSync = z.looseObject({ type: z.literal("session_sync"), session });
const execResult = z.looseObject({ type: z.literal("EXEC_RESULT"), exec_id: ID, tool: text, status: text });

/** Every stream event carries its own `id` and `ts` (epoch seconds). */
const event = { id: ID, ts: z.number(), session_id: ID.nullish() };
const outcome = z.enum(["success", "error"]);
const pendingTool = z.looseObject({ tool: text, arguments: z.unknown().optional() });
const llmCall = z.looseObject({ ...event, type: z.literal("llm_call"), model: text, status: text });
const llmResult = z.looseObject({
  ...event,
  type: z.literal("llm_result"),
  status: outcome,
  duration_ms: numberOrNull,
});
const thinking = z.looseObject({
  ...event,
  type: z.literal("thinking"),
  content: text.nullish(),
  kind: text.nullish(),
});
const toolCall = z.looseObject({
  ...event,
  type: z.literal("tool_call"),
  tool_id: ID,
  name: text,
  args: z.unknown().optional(),
});
const toolResult = z.looseObject({
  ...event,
  type: z.literal("tool_result"),
  tool_id: ID,
  name: text,
  status: outcome,
  result: z.unknown().optional(),
  timing_ms: numberOrNull,
});
const assistant = z.looseObject({ ...event, type: z.literal("assistant"), content: text });
const agentImage = z.looseObject({ ...event, type: z.literal("agent_image"), image: text });
const askUser = z.looseObject({
  ...event,
  type: z.literal("ask_user"),
  // npm 0.1.4 reads `text`, newer clients `question`: both are sent.
  text,
  question: text,
  options: z.array(z.unknown()).nullish(),
  multi_select: z.boolean().nullish(),
});
const approvalNeeded = z.looseObject({
  ...event,
  type: z.literal("approval_needed"),
  ...pendingTool.shape,
  description: text.nullish(),
  batch_remaining: z.array(pendingTool).nullish(),
});
const planReview = z.looseObject({ ...event, type: z.literal("plan_review"), plan_content: text });
const intent = z.looseObject({ ...event, type: z.literal("intent") });
const evaluation = z.looseObject({ ...event, type: z.literal("eval") });
const compact = z.looseObject({ ...event, type: z.literal("compact") });
const toolBlocked = z.looseObject({
  ...event,
  type: z.literal("tool_blocked"),
  tool: text,
  reason: text,
  message: text,
});
const filesReceived = z.looseObject({ ...event, type: z.literal("files_received") });
const ulwTurnsReached = z.looseObject({
  ...event,
  type: z.literal("ulw_turns_reached"),
  turns_used: z.number(),
  max_turns: z.number(),
});

export const streamEventSchema = z.discriminatedUnion("type", [
  llmCall,
  llmResult,
  thinking,
  toolCall,
  toolResult,
  assistant,
  agentImage,
  askUser,
  approvalNeeded,
  planReview,
  intent,
  evaluation,
  compact,
  toolBlocked,
  filesReceived,
  ulwTurnsReached,
]);
export type StreamEvent = z.infer<typeof streamEventSchema>;
export const STREAM_EVENT_TYPES: ReadonlySet<string> = new Set(
  streamEventSchema.options.map((option) => option.shape.type.value),
);

export const hostFrameSchema = z.discriminatedUnion("type", [
  connected,
  agentProfile,
  ping,
  output,
  error,
  sessionStatus,
  onboardRequired,
  onboardSuccess,
  adminResult,
  runtimeInputAck,
  modeChanged,
  dashboardSnapshot,
  sessionSync,
  execResult,
  ...streamEventSchema.options,
]);
export type HostFrame = z.infer<typeof hostFrameSchema>;
export type HostFrameOf<T extends HostFrame["type"]> = Extract<HostFrame, { type: T }>;

/** What an agent says of itself on `/ws/announce`; 0.6.5 agents send no `relay`. */
export const announceSchema = z.looseObject({
  type: z.literal("ANNOUNCE"),
  address,
  timestamp: z.number(),
  summary: z.string().max(1000).default(""),
  endpoints: z.array(z.string().max(2048)).max(32).default([]),
  relay: z.string().max(2048).nullish(),
  profile: z.looseObject({}).nullish(),
  profile_signature: z.string().max(256).nullish(),
  signature: z.string(),
});
export type Announce = z.infer<typeof announceSchema>;

/** The first complaint of a schema with its field, without the value seen. */
export function firstIssue(problem: z.ZodError): string {
  const issue = problem.issues[0];
  if (!issue) return "not as expected";
  const path = issue.path.join(".");
  return path ? `${path}: ${issue.message}` : issue.message;
}

export type ReadClientFrame =
  | { kind: "known"; frame: ClientFrame }
  /** A type nobody defined: ignore it silently, as upstream does. */
  | { kind: "unknown"; type: string }
  | { kind: "invalid"; type: string; error: string };

/** Reads a client's frame (its parsed value). Nothing in it is proven by this; see `verifyEnvelope`. */
export function readClientFrame(value: unknown): ReadClientFrame {
  const type = typeof value === "object" && value !== null && "type" in value ? value.type : undefined;
  if (typeof type !== "string" || !CLIENT_FRAME_TYPES.has(type))
    return { kind: "unknown", type: typeof type === "string" ? type : "" };
  const parsed = clientFrameSchema.safeParse(value);
  if (parsed.success) return { kind: "known", frame: parsed.data };
  return { kind: "invalid", type, error: `invalid ${type}: ${firstIssue(parsed.error)}` };
}
