/** A session as clients and hosts carry it: an open object. */
export type SessionState = Record<string, unknown>;

/** What a client may not write about its own session; the host's copy always stands. */
const HOST_ONLY = ["mode", "permissions", "approval", "skip_tool_approval", "requester"];
const isHostOnly = (key: string): boolean => HOST_ONLY.includes(key) || key.startsWith("full_access_");

export interface Merged {
  session: SessionState;
  winner: "client" | "server";
  /** The server's copy won: CONNECTED carries it with `chat_items`. */
  server_newer: boolean;
}

/**
 * Which copy of a session goes on after a reconnect (connectonion.md (c)): the higher integer `iteration`, then the later
 * `updated` (epoch seconds), then the client's. The winner is taken whole, except that what only the host may set comes
 * from the host. A side without a copy loses.
 */
export function mergeSessions(
  client: SessionState | null | undefined,
  server: SessionState | null | undefined,
): Merged {
  if (client && (!server || !isNewer(server, client)))
    return { session: withHostFields(client, server ?? {}), winner: "client", server_newer: false };
  if (server) return { session: { ...server }, winner: "server", server_newer: true };
  return { session: {}, winner: "client", server_newer: false };
}

function isNewer(a: SessionState, b: SessionState): boolean {
  const iteration = iterationOf(a) - iterationOf(b);
  return iteration !== 0 ? iteration > 0 : updatedOf(a) > updatedOf(b);
}

const iterationOf = (s: SessionState): number => (Number.isSafeInteger(s.iteration) ? (s.iteration as number) : 0);
const updatedOf = (s: SessionState): number =>
  typeof s.updated === "number" && Number.isFinite(s.updated) ? s.updated : 0;

function withHostFields(client: SessionState, server: SessionState): SessionState {
  const own = Object.entries(client).filter(([key]) => !isHostOnly(key));
  const imposed = Object.entries(server).filter(([key]) => isHostOnly(key));
  return Object.fromEntries([...own, ...imposed]);
}
