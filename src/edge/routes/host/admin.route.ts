import { Hono } from "hono";
import { readAudit } from "../../../audit";
import { readVar } from "../../../kernel/config";
import { sameSecret } from "../../../kernel/crypto";
import { allSessions } from "../../../session";
import { rightsOf } from "../../../trust";
import { type AppEnv, type Ctx, runtime } from "../../kit";
import { answer, CORS, callerIp, no, ownAddress, signerOf } from "./shared";

/** `/admin/logs`, `/admin/sessions`: for the bearer of REVEILLE_ADMIN_TOKEN, or an admin's signature. */

const LINES = 200;
const MOST = 200;

/** Null when the caller may; else the refusal. */
async function refusal(c: Ctx): Promise<Response | null> {
  const rt = runtime(c);
  const given = /^Bearer\s+(\S{1,512})$/i.exec(c.req.header("authorization") ?? "")?.[1];
  const expected = readVar(rt.vars, "REVEILLE_ADMIN_TOKEN");
  if (given !== undefined && expected !== "" && (await sameSecret(given, expected))) return null;
  const { success } = await c.env.AUTH_LIMIT.limit({ key: `host-admin:${callerIp(c)}` });
  if (!success) return answer(429, { error: "rate limited: wait a minute" });
  const signer = await signerOf(c, true);
  if (signer === null) return answer(401, { error: "unauthorized" });
  if (typeof signer !== "string") return no(signer.error);
  const self = (await ownAddress(c)) ?? undefined;
  const { admin } = await rightsOf({ db: c.env.DB, runtime: rt, self }, signer);
  return admin ? null : no("forbidden: admin only");
}

export const hostAdminRoutes = new Hono<AppEnv>();

hostAdminRoutes.get("/admin/sessions", async (c) => {
  const refused = await refusal(c);
  if (refused) return refused;
  const rows = await allSessions(c.env.DB, MOST);
  return answer(200, {
    sessions: rows.map(({ id, owner, agent, status, updated }) => ({
      session_id: id,
      owner,
      agent,
      status,
      updated: updated / 1000,
    })),
  });
});

/** What trust decided and who changed it; the operator's own audit is the operator's. */
hostAdminRoutes.get("/admin/logs", async (c) => {
  const refused = await refusal(c);
  if (refused) return refused;
  const seams = ["trust.decided", "trust.changed"];
  const rows = (await Promise.all(seams.map((seam) => readAudit(c.env.DB, { seam, limit: LINES })))).flat();
  if (rows.length === 0) return answer(404, { error: "No logs found" });
  const lines = rows
    .sort((a, b) => a.id - b.id)
    .slice(-LINES)
    .map((r) => `${r.emitted_at} ${r.seam} ${JSON.stringify(r.details)}`);
  return new Response(`${lines.join("\n")}\n`, { headers: { ...CORS, "content-type": "text/plain; charset=utf-8" } });
});
