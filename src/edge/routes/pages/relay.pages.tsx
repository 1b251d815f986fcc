import { hostAddress } from "../../../../durable-objects/host";
import { AgentsPage, type SessionsData, SessionsPage } from "../../../operator";
import { readAgents } from "../../../relay";
import { allSessions, countSessions } from "../../../session";
import { runtime } from "../../kit";
import { pageApp, part, show } from "./visit";

/** `/ui/sessions` and `/ui/agents`. */
export const relayPages = pageApp();

const ROWS = 200;

relayPages.get("/ui/sessions", async (c) => {
  const rt = runtime(c);
  const [rows, counts, own] = await Promise.all([
    part(c, "sessions", () => allSessions(c.env.DB, ROWS)),
    part(c, "the counts", () => countSessions(c.env.DB)),
    hostAddress(rt),
  ]);
  const data: SessionsData = { rows, counts, limit: ROWS, own, public_url: rt.config.publicUrl };
  return show(c, "Sessions", () => <SessionsPage ctx={c.get("visit").ctx} data={data} />);
});

relayPages.get("/ui/agents", async (c) => {
  const after = c.req.query("after")?.slice(0, 100);
  const page = await part(c, "agents", () => readAgents(c.env.DB, { limit: ROWS, after }));
  const data = { page, public_url: runtime(c).config.publicUrl };
  return show(c, "Agents", () => <AgentsPage ctx={c.get("visit").ctx} data={data} />);
});
