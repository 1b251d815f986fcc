import { Agent } from "../../durable-objects/agent.do";
import { AgentLine } from "../../durable-objects/agent-line.do";
import { Budget } from "../../durable-objects/budget.do";
import { ClientLine } from "../../durable-objects/client-line.do";
import { Gateway } from "../../durable-objects/gateway.do";
import { HookGate } from "../../durable-objects/hook-gate.do";
import { Session } from "../../durable-objects/session.do";
import { Switchboard } from "../../durable-objects/switchboard.do";
import { Target } from "../../durable-objects/target.do";
import { Workspace } from "../../durable-objects/workspace.do";
import { runtimeOf } from "../kernel/runtime";
import { app } from "./app";
import type { EdgeEnv } from "./env";
import { consumeShards, tick } from "./tasks";

/** The edge Worker. Wiring only. */
export default {
  fetch: (request, env, ctx) => app.fetch(request, env, ctx),
  scheduled: (controller, env) => tick(env, runtimeOf(env, "edge"), controller.scheduledTime),
  queue: (batch, env) => consumeShards(batch, env, runtimeOf(env, "edge")),
} satisfies ExportedHandler<EdgeEnv>;

export { Agent, AgentLine, Budget, ClientLine, Gateway, HookGate, Session, Switchboard, Target, Workspace };
