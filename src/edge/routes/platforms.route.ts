import { type Context, Hono } from "hono";
import * as z from "zod";
import { readVar } from "../../kernel/config";
import { describe } from "../../kernel/errors";
import { readCapped } from "../../kernel/http";
import type { Runtime } from "../../kernel/runtime";
import { actionIdOf, answerCallback, plain } from "../../notify";
import { readDirectMessage, type Verdict, verifySlack, verifyTelegram } from "../../platform";
import { askFromSlack } from "../asks";
import { type AppEnv, runtime } from "../kit";
import { type Press, press } from "../press";

/** More than this is refused before any byte is verified (chat-platforms §0). */
const MAX_BODY = 1024 * 1024;

const empty = (status: number, headers: Record<string, string> = {}): Response =>
  new Response(null, { status, headers });

/** A 4xx that will never change; Slack would repeat it three times otherwise (chat-platforms §1.1). */
const malformed = (): Response => empty(400, { "x-slack-no-retry": "1" });

const list = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

/** The body as bytes, read once, or the refusal. Verification needs the bytes; decoding changes some of them. */
async function readBody(request: Request): Promise<Uint8Array | Response> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY) return empty(413);
  const { bytes, truncated } = await readCapped(request.body, MAX_BODY);
  return truncated ? empty(413) : bytes;
}

/** Null when the request may go on. Every kind of bad proof gets the same empty 401. */
function refusal(rt: Runtime, platform: string, app: string, verdict: Verdict): Response | null {
  if (verdict === "ok") return null;
  rt.log("warn", "webhook.refused", { platform, app, verdict });
  return empty(verdict === "bad_key" ? 500 : 401);
}

/** Without its secret a platform's webhook is shut: 503, so that the platform tries again once it is set. */
function unset(rt: Runtime, platform: string, name: string): Response {
  rt.log("error", "webhook.unconfigured", { platform, hint: `${name} is not set; every call is refused` });
  return empty(503);
}

/** Strict UTF-8 without a BOM; null when the bytes are not UTF-8. NUL is legal in no JSON text and in no D1 text. */
function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes).replaceAll("\u0000", "");
  } catch {
    return null;
  }
}

function parseJson(text: string): { value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

function ignored(rt: Runtime, platform: string, what: unknown): Response {
  rt.log("info", "webhook.ignored", { platform, type: typeof what === "string" ? plain(what).slice(0, 60) : "none" });
  return empty(200);
}

/** Verifies a Slack request over its raw bytes and hands its text on. */
async function fromSlack(
  c: Context<AppEnv>,
  then: (rt: Runtime, text: string) => Promise<Response>,
): Promise<Response> {
  const rt = runtime(c);
  const secrets = ["REVEILLE_SLACK_SIGNING_SECRET", "REVEILLE_SLACK_SIGNING_SECRET_OLD"].map((n) =>
    readVar(rt.vars, n),
  );
  if (!secrets[0]) return unset(rt, "slack", "REVEILLE_SLACK_SIGNING_SECRET");
  const body = await readBody(c.req.raw);
  if (body instanceof Response) return body;
  // Slack's window is about real time, whatever speed our own clock has.
  const verdict = await verifySlack(c.req.raw.headers, body, secrets, Math.floor(rt.clock.wall() / 1000));
  const text = verdict === "ok" ? decode(body) : "";
  return refusal(rt, "slack", c.req.param("app") ?? "", verdict) ?? (text === null ? malformed() : then(rt, text));
}

const slackEvent = z.object({ type: z.string().optional(), challenge: z.string().max(1_000).optional() });

/** The ack follows the durable write. Retry headers are not looked at: a repeat is known by its event and its message. */
async function slackEvents(c: Context<AppEnv>, rt: Runtime, text: string): Promise<Response> {
  if (text === "") return ignored(rt, "slack", "empty body");
  const json = parseJson(text);
  if (!json) return malformed();
  const { data } = slackEvent.safeParse(json.value);
  if (data?.type === "url_verification" && data.challenge !== undefined)
    return new Response(data.challenge, { headers: { "content-type": "text/plain; charset=utf-8" } });
  const read = readDirectMessage(json.value);
  if (!read.ok) return ignored(rt, "slack", `${data?.type ?? "none"}: ${read.why}`);
  await askFromSlack(c.env, rt, read.message);
  return empty(200);
}

const slackInteraction = z.object({
  type: z.string(),
  user: z.object({ id: z.string(), username: z.string().optional() }).optional(),
  actions: z.array(z.object({ action_id: z.string() })).optional(),
});

async function slackInteractions(c: Context<AppEnv>, rt: Runtime, text: string): Promise<Response> {
  const payload = new URLSearchParams(text).get("payload");
  if (payload === null) return ignored(rt, "slack", "no payload");
  const json = parseJson(payload);
  if (!json) return malformed();
  const { data } = slackInteraction.safeParse(json.value);
  if (data?.type !== "block_actions" || !data.user) return ignored(rt, "slack", data?.type);
  const ids = (data.actions ?? []).flatMap((a) => actionIdOf(a.action_id) ?? []);
  if (ids.length === 0) return ignored(rt, "slack", "foreign action");
  for (const action_id of ids)
    await press(c.env, rt, {
      action_id,
      platform: "slack",
      user_id: data.user.id,
      user_name: data.user.username ?? null,
      operators: list(readVar(rt.vars, "REVEILLE_SLACK_OPERATOR_ID")),
    });
  return empty(200);
}

const telegramUpdate = z.object({
  update_id: z.number(),
  callback_query: z
    .object({
      id: z.string(),
      // Ids are compared as text: a platform's number may not fit ours.
      from: z.object({ id: z.union([z.number(), z.string()]).transform(String), username: z.string().optional() }),
      data: z.string().optional(),
    })
    .optional(),
});

async function telegram(c: Context<AppEnv>): Promise<Response> {
  const rt = runtime(c);
  const secret = readVar(rt.vars, "REVEILLE_TELEGRAM_SECRET_TOKEN");
  if (!secret) return unset(rt, "telegram", "REVEILLE_TELEGRAM_SECRET_TOKEN");
  const body = await readBody(c.req.raw);
  if (body instanceof Response) return body;
  const refused = refusal(rt, "telegram", c.req.param("app") ?? "", await verifyTelegram(c.req.raw.headers, [secret]));
  if (refused) return refused;
  const text = decode(body);
  const json = text === null ? null : parseJson(text);
  if (!json) return empty(400);
  const query = telegramUpdate.safeParse(json.value).data?.callback_query;
  const action_id = actionIdOf(query?.data ?? "");
  if (!query || action_id === null) return ignored(rt, "telegram", query ? "foreign callback" : "update");
  const said: Press = await press(c.env, rt, {
    action_id,
    platform: "telegram",
    user_id: query.from.id,
    user_name: query.from.username ?? null,
    operators: list(readVar(rt.vars, "REVEILLE_TELEGRAM_OPERATOR_ID") || readVar(rt.vars, "REVEILLE_TELEGRAM_CHAT_ID")),
  });
  // The answer only stops the spinner: the act is done, so a lost answer loses nothing.
  c.executionCtx.waitUntil(
    answerCallback(rt, query.id, said.message).then((r) => {
      if (!r.ok) rt.log("warn", "telegram.answer_failed", { error: r.error });
    }),
  );
  return empty(200);
}

/** Nothing a platform sends may surface as our stack; a 500 makes it try again where it does. */
function failed(error: Error, c: Context<AppEnv>): Response {
  runtime(c).log("error", "webhook.failed", { path: c.req.path, error: describe(error) });
  return empty(500);
}

const APP = ":app{[A-Za-z0-9_-]{1,64}}";

/** Slack and Telegram webhooks: signed and sized; the buttons of notices, and questions in a DM (design §8). */
export const platformRoutes = new Hono<AppEnv>();
platformRoutes.onError(failed);
platformRoutes.post(`/webhooks/slack/${APP}/events`, (c) => fromSlack(c, (rt, text) => slackEvents(c, rt, text)));
platformRoutes.post(`/webhooks/slack/${APP}/interactions`, (c) =>
  fromSlack(c, (rt, text) => slackInteractions(c, rt, text)),
);
platformRoutes.post(`/webhooks/telegram/${APP}`, telegram);
for (const path of [
  `/webhooks/slack/${APP}/events`,
  `/webhooks/slack/${APP}/interactions`,
  `/webhooks/telegram/${APP}`,
])
  platformRoutes.all(path, () => empty(405, { allow: "POST" }));
