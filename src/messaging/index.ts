export { ack, close, create, type Desk, inbox, reply, send } from "./acts";
export { newAgentSchema, wakeSchema, workspaceId } from "./agent.schema";
export {
  agentOfKey,
  countPush,
  findRecipients,
  insertMsgAgent,
  isAgentKey,
  listMsgAgents,
  listWorkspaces,
  type MsgAgent,
  nameTaken,
  readMsgAgent,
  rotateKey,
  setActive,
  setWake,
  statusOf,
} from "./agents.store";
export { type Mail, putMail } from "./mail";
export { answerBody, MAX_REQUEST, type McpServer, refuseHead } from "./mcp";
export { ownHook, type Pushed, pushOnce, wakePlace } from "./push";
export {
  batchOf,
  claimEvent,
  dueEvents,
  nextLook,
  retire,
  settleAccepted,
  settleFailed,
  settleIgnored,
} from "./push.store";
export { countRows, forget, type WorkspaceCounts } from "./store";
export { SCHEMA as WORKSPACE_SCHEMA } from "./tables";
export { agentTools, type McpTool, type ToolDeps, type WorkspacePort } from "./tools";
export { type JsonSchema, objectSchema, text, whole } from "./tools.json";
export type {
  AckArgs,
  CloseArgs,
  CreateArgs,
  InboxArgs,
  ReplyArgs,
  SendArgs,
  StatusArgs,
} from "./tools.schema";
export {
  type Caller,
  PROFILES,
  type Profile,
  type Recipient as MailRecipient,
  ToolFault,
  type ToolReply,
} from "./types";
