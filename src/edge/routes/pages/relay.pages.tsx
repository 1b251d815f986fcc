import { hostAddress } from "../../../../durable-objects/host";
import { readAudit } from "../../../audit";
import { badRequest } from "../../../kernel/errors";
import {
  AgentsPage,
  SessionActPage,
  SessionPage,
  type SessionsData,
  SessionsPage,
  sessionPath,
} from "../../../operator";
import { readAgents } from "../../../relay";
import { allSessions, countSessions } from "../../../session";
import { runtime } from "../../kit";
import { actOnSession, findSession, SESSION_ACTS } from "../../sessions";
import { missing } from "./target.pages";
import { act, done, OPERATOR, pageApp, part, show } from "./visit";

/** `/ui/sessions` with the page of each session, and `/ui/agents`. */
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

const AUDIT_ROWS = 20;

relayPages.get("/ui/sessions/:id", async (c) => {
  const id = c.req.param("id");
  const session = await findSession(c.env, runtime(c), id);
  if (!session) return missing(c, "session", id);
  const audit = await part(c, "the audit", () => readAudit(c.env.DB, { session_id: id, limit: AUDIT_ROWS }));
  // What it shows is in objects, which the tag of pages does not see.
  const visit = c.get("visit");
  visit.etag = null;
  const data = { session, audit, wall: runtime(c).clock.wall() };
  return show(c, "Session", () => <SessionPage ctx={visit.ctx} data={data} />);
});

relayPages.get("/ui/sessions/:id/confirm", async (c) => {
  const id = c.req.param("id");
  const what = SESSION_ACTS.find((a) => a === c.req.query("act"));
  const line = c.req.query("line")?.slice(0, 200) ?? null;
  if (!what || (what === "close") !== (line !== null)) return c.redirect(sessionPath(id), 303);
  return show(c, "Session", () => <SessionActPage ctx={c.get("visit").ctx} id={id} act={what} line={line} />);
});

relayPages.post("/ui/sessions/:id/act", (c) => {
  const id = c.req.param("id");
  return act(c, sessionPath(id), async (f) => {
    const what = SESSION_ACTS.find((a) => a === f["act"]);
    if (!what) throw badRequest("bad_act", "There is no such act.", "act");
    const { message } = await actOnSession(c.env, runtime(c), id, { act: what, line: f["line"] }, OPERATOR);
    return done(c, what === "forget" ? "/ui/sessions" : sessionPath(id), { text: `${message}.` });
  });
});

relayPages.get("/ui/agents", async (c) => {
  const after = c.req.query("after")?.slice(0, 100);
  const page = await part(c, "agents", () => readAgents(c.env.DB, { limit: ROWS, after }));
  const data = { page, public_url: runtime(c).config.publicUrl };
  return show(c, "Agents", () => <AgentsPage ctx={c.get("visit").ctx} data={data} />);
});
