import type { Home, LineView } from "../src/session";
import type { ObjectEnv } from "./env";
import { acceptorOf } from "./session.lines";
import { stateOf } from "./session.sockets";

/** Lines shown of one session; each lent one is asked of its holder. */
const MOST = 50;

/** The lines of a session, oldest first: those whose sockets are held at home, and lent ones. */
export async function sessionViewLines(ctx: DurableObjectState, env: ObjectEnv, home: Home): Promise<LineView[]> {
  const own = ctx.getWebSockets().flatMap((ws): LineView[] => {
    const line = stateOf(ws);
    if (!line || ws.readyState !== WebSocket.OPEN || line.home !== line.own) return [];
    const { id, from, opened_at, heard_at } = line;
    return [{ id, from, lent: false, opened_at, heard_at }];
  });
  const lent = await Promise.all(
    home.lent.slice(0, MOST).map(async ({ id, acceptor, from }): Promise<LineView> => {
      const info = await acceptorOf(env, acceptor)
        .lineInfo(id)
        .catch(() => null);
      return { id, from, lent: true, opened_at: info?.opened_at ?? null, heard_at: info?.heard_at ?? null };
    }),
  );
  return [...own, ...lent].sort((a, b) => (a.opened_at ?? 0) - (b.opened_at ?? 0)).slice(0, MOST);
}
