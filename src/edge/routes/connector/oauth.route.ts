import { Hono } from "hono";
import { issueToken } from "../../../gateway";
import { readCapped } from "../../../kernel/http";
import { answer, failed, no, refuse } from "../../connector";
import { type AppEnv, type Ctx, runtime } from "../../kit";

/** Our token endpoint: a stock gateway enrolls or provisions itself with nothing but variables (hermes-relay §5.2). */

const MAX_FORM = 8 * 1024;

/** Client id and secret of `Authorization: Basic`, each form-decoded (RFC 6749 §2.3.1); null when there is none. */
function basic(header: string | undefined): { id: string; secret: string } | null {
  const given = /^Basic\s+([A-Za-z0-9+/=]{1,4096})$/i.exec(header?.trim() ?? "")?.[1];
  if (given === undefined) return null;
  try {
    const [id, ...rest] = atob(given).split(":");
    const decode = (text: string): string => decodeURIComponent(text.replaceAll("+", " "));
    return { id: decode(id ?? ""), secret: decode(rest.join(":")) };
  } catch {
    return null;
  }
}

async function token(c: Ctx): Promise<Response> {
  const { bytes, truncated } = await readCapped(c.req.raw.body, MAX_FORM);
  if (truncated) return no(413, "invalid_request");
  const form = new URLSearchParams(new TextDecoder().decode(bytes));
  const client = basic(c.req.header("authorization")) ?? {
    id: form.get("client_id") ?? "",
    secret: form.get("client_secret") ?? "",
  };
  if (form.get("grant_type") !== "client_credentials") return no(400, "unsupported_grant_type");
  if (client.id === "" || client.secret === "" || client.id.length > 200 || client.secret.length > 200)
    return refuse(c, no(401, "invalid_client", { "www-authenticate": 'Basic realm="reveille"' }));
  const scope = (form.get("scope") ?? "").slice(0, 500);
  const issued = await issueToken(
    { db: c.env.DB, runtime: runtime(c) },
    { client_id: client.id, client_secret: client.secret, scope },
  );
  if (!issued) return refuse(c, no(401, "invalid_client", { "www-authenticate": 'Basic realm="reveille"' }));
  return answer(200, { ...issued, token_type: "Bearer" }, { pragma: "no-cache" });
}

export const oauthRoutes = new Hono<AppEnv>();
oauthRoutes.onError(failed);
oauthRoutes.post("/oauth/token", token);
oauthRoutes.all("/oauth/token", () => no(405, "invalid_request", { allow: "POST" }));
