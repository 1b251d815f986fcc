import type { EdgeEnv } from "../../../src/edge/env";
import edge, * as objects from "../../../src/edge/index";
import { counted, meterEnv, meterObject, settle } from "./meter.worker";

/** The edge Worker as it ships, with a meter on everything that is billed. `GET /counted` reads it. */

export const Agent = meterObject(objects.Agent);
export const AgentLine = meterObject(objects.AgentLine);
export const Budget = meterObject(objects.Budget);
export const ClientLine = meterObject(objects.ClientLine);
export const Gateway = meterObject(objects.Gateway);
export const HookGate = meterObject(objects.HookGate);
export const Session = meterObject(objects.Session);
export const Target = meterObject(objects.Target);
export const Workspace = meterObject(objects.Workspace);
export const { Switchboard } = objects;

export default {
  ...edge,
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/counted") {
      settle();
      return Response.json(counted);
    }
    counted.workerRequests++;
    return edge.fetch(request, meterEnv(env), ctx);
  },
} satisfies ExportedHandler<EdgeEnv>;
