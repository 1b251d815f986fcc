import { appVar } from "../../kernel/config";
import { call, type Judged, type Reply, type SendDeps, waitOf } from "../call";
import { done, failure, inTurn, type Sent, text } from "../sender";
import { MAX_PARTS, splitMarkdown } from "../split";
import { discordUrl } from "./api";

/** Answers to an interaction with its own token, without the bot's (chat-platforms §2.3). The token is in the path: no path is ever told. */

export interface Interaction {
  application_id: string;
  interaction_id: string;
  token: string;
  /** Only who asked may see it. */
  ephemeral: boolean;
}

const LIMIT = 2_000;
const CUT = 1_900;
/** Only who asked sees it. */
const EPHEMERAL = 64;
const DISCORD_EPOCH = 1_420_070_400_000;
/** A deferral may not be known everywhere at once: looked for again while the interaction is younger than this, wall ms. */
const YOUNG_MS = 30_000;
const RETRY_MS = [250, 500, 1_000, 2_000, 4_000];

/** What Discord says of a token that serves no more: unknown webhook, invalid token, too many follow-ups. */
const OVER = new Set(["10015", "50027", "40094", "401", "404"]);
const UNKNOWN = new Set(["10015", "10008", "404"]);

/** Wall ms when an id was made; 0: it is none. */
export const snowflakeTime = (id: string): number =>
  /^\d{1,20}$/.test(id) ? Number(BigInt(id) >> 22n) + DISCORD_EPOCH : 0;

export const interactionParts = (content: string): string[] =>
  content.trim().length <= LIMIT ? [content.trim()].filter((t) => t !== "") : splitMarkdown(content, CUT);

const judge =
  (d: SendDeps, bucket: string) =>
  (reply: Reply): Judged => {
    const { json, status, headers } = reply;
    if (status === 429) return { limited: waitOf(d, reply, json["retry_after"]), bucket };
    const reset = Number(headers.get("x-ratelimit-reset-after") ?? Number.NaN);
    if (headers.get("x-ratelimit-remaining") === "0" && reset > 0)
      d.holds.hold(bucket, d.runtime.clock.wall() + Math.min(reset, 60) * 1_000);
    if (status >= 200 && status < 300) return { ok: json };
    const words = text(json["message"]) ?? `HTTP ${status}`;
    const code = typeof json["code"] === "number" && json["code"] !== 0 ? String(json["code"]) : String(status);
    if (status >= 500) return { again: `discord: ${words}`, applied: true };
    return { fail: failure(`discord: ${words} (${code})`, code) };
  };

async function ask(
  d: SendDeps,
  i: Interaction,
  method: "POST" | "PATCH" | "DELETE",
  tail: string,
  body?: Record<string, unknown>,
): ReturnType<typeof call> {
  const bucket = `discord:webhook:${i.interaction_id}`;
  const base = `${discordUrl(d)}/webhooks/${encodeURIComponent(i.application_id)}/${encodeURIComponent(i.token)}`;
  for (let tries = 0; ; tries++) {
    const result = await call(d, {
      url: `${base}${tail}`,
      method,
      headers: {
        "user-agent": `DiscordBot (${d.runtime.config.publicUrl}, 1.0)`,
        ...(body ? { "content-type": "application/json" } : {}),
      },
      ...(body ? { body: JSON.stringify({ ...body, allowed_mentions: { parse: [] } }) } : {}),
      // A change may be repeated; a message would be there twice.
      repeatable: method !== "POST",
      buckets: [bucket],
      judge: judge(d, bucket),
    });
    const now = d.runtime.clock.wall();
    const pause = RETRY_MS[tries];
    const race = "fail" in result && UNKNOWN.has(result.fail.error_code ?? "") && !result.fail.ambiguous;
    if (!race || pause === undefined || now - snowflakeTime(i.interaction_id) >= YOUNG_MS || now + pause >= d.deadline)
      return result;
    await scheduler.wait(pause);
  }
}

const sentOf = (result: Awaited<ReturnType<typeof call>>): Sent => {
  if ("fail" in result) return result.fail;
  const id = text(result.ok["id"]);
  const channel = text(result.ok["channel_id"]);
  return done(id === null ? [] : [id], channel === null ? {} : { chat_id: channel });
};

/** The answer: ends the deferred reply with its first part (`original`), and follows up with the rest. */
export function answerInteraction(d: SendDeps, i: Interaction, content: string, original: boolean): Promise<Sent> {
  const parts = interactionParts(content);
  if (parts.length === 0) return Promise.resolve(failure("nothing to send: the content is empty", "no_text"));
  if (parts.length > MAX_PARTS)
    return Promise.resolve(failure(`too long: it would be ${parts.length} messages`, "msg_too_long"));
  return inTurn(parts, async (part, n) =>
    sentOf(
      original && n === 0
        ? await ask(d, i, "PATCH", "/messages/@original", { content: part })
        : await ask(d, i, "POST", "?wait=true", { content: part, ...(i.ephemeral ? { flags: EPHEMERAL } : {}) }),
    ),
  );
}

/** Changes a message that an answer made. Bots can't change what only one person sees; the token can. */
export async function editInteraction(d: SendDeps, i: Interaction, messageId: string, content: string): Promise<Sent> {
  const [part, ...more] = interactionParts(content);
  if (part === undefined) return failure("nothing to send: the content is empty", "no_text");
  if (more.length > 0) return failure("too long: an answer to an interaction is changed in one part", "msg_too_long");
  const result = await ask(d, i, "PATCH", `/messages/${encodeURIComponent(messageId)}`, { content: part });
  return "fail" in result ? result.fail : done([messageId]);
}

/** Ends a deferred reply that nobody answered here: with words, or, when the answer went another way, without a trace. */
export async function endDeferred(d: SendDeps, i: Interaction, words: string | null): Promise<Sent> {
  return words === null
    ? sentOf(await ask(d, i, "DELETE", "/messages/@original"))
    : sentOf(await ask(d, i, "PATCH", "/messages/@original", { content: words }));
}

/** The token serves no more. */
export const interactionOver = (sent: Sent): boolean => !sent.success && OVER.has(sent.error_code ?? "");

/** The application whose interactions these are, when the payload did not say. */
export const applicationOf = (d: SendDeps): string => appVar(d.runtime.vars, "REVEILLE_DISCORD_APPLICATION_ID", d.app);
