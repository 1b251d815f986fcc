import type { Agent } from "./agent.do";
import type { TellAsk, Told } from "./agent-tell";

export type TellMethods = { tell(...args: Parameters<Agent["tell"]>): Promise<Told> };

/** Hands a prompt to the agent that is announced under this address, over the relay. */
export const tellAgent = (namespace: DurableObjectNamespace, ask: TellAsk): Promise<Told> =>
  (namespace.get(namespace.idFromName(ask.address)) as unknown as TellMethods).tell(ask);
