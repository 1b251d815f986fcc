import type { Session } from "./session.do";

/** A method as it is seen over RPC. */
type Remote<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

/** What callers may ask of a Session object. */
export type SessionMethods = Remote<
  Pick<
    Session,
    | "attach"
    | "lentCommand"
    | "detach"
    | "deliver"
    | "owner"
    | "statusFor"
    | "record"
    | "submit"
    | "waitFor"
    | "eventsAfter"
    | "claim"
    | "events"
    | "ask"
    | "finish"
    | "release"
    | "giveUp"
    | "actor"
    | "view"
    | "cancel"
    | "drop"
    | "closeLine"
    | "lineInfo"
    | "shutLine"
    | "seal"
    | "wield"
    | "posted"
    | "vault"
    | "purge"
  >
>;

/** The object of one session. `hint`: where its first caller is; it counts only when the object is made. */
export const sessionObject = (
  namespace: DurableObjectNamespace,
  id: string,
  hint?: DurableObjectLocationHint,
): SessionMethods & Pick<Fetcher, "fetch"> =>
  namespace.get(namespace.idFromName(id), hint ? { locationHint: hint } : {}) as unknown as SessionMethods &
    Pick<Fetcher, "fetch">;
