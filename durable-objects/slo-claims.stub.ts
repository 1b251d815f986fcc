import type { Agent } from "./agent.do";

type Remote<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

export type ClaimMethods = Remote<Pick<Agent, "claimProbe" | "advanceProbe" | "probeRecord">>;

/** The object that keeps which probes an agent has answered. `agentId`: as its senders know it. */
export const sloClaims = (namespace: DurableObjectNamespace, agentId: string): ClaimMethods =>
  namespace.get(namespace.idFromName(`slo:${agentId}`)) as unknown as ClaimMethods;
