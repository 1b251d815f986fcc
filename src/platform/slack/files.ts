import type { SendDeps } from "../call";
import { done, type Fetched, failure, type OutFile, type Sent, text, type Where } from "../sender";
import type { MediaRef } from "../types";
import { slackCall, slackToken, slackUrl } from "./api";
import { toMrkdwn } from "./mrkdwn";

/** Files to and from Slack (chat-platforms §1.2, §1.4). */

const COMMENT = 3_000;
const WAIT_MS = 20_000;

interface Around {
  send(d: SendDeps, to: Where, content: string): Promise<Sent>;
  thread: string | null;
}

/** The three steps of an upload. The message's `ts` is not part of the answer, so it is looked for once. */
export async function sendSlackFile(
  d: SendDeps,
  to: Where,
  file: OutFile,
  caption: string,
  around: Around,
): Promise<Sent> {
  const comment = caption.trim() === "" ? [] : toMrkdwn(caption, COMMENT);
  const filename = file.filename;
  const begun = await slackCall(
    d,
    "files.getUploadURLExternal",
    { filename, length: file.bytes.length },
    { repeatable: true, form: true },
  );
  if ("fail" in begun) return begun.fail;
  const [upload, id] = [text(begun.ok["upload_url"]), text(begun.ok["file_id"])];
  if (upload === null || id === null || !URL.canParse(upload))
    return failure("slack: an answer without an upload URL", "odd_answer");
  // Nothing shows before the last step, so a failure up to here is certain.
  const put = await fetch(upload, {
    method: "POST",
    headers: { "content-type": file.mime },
    body: file.bytes,
    redirect: "manual",
    signal: AbortSignal.timeout(Math.max(1, Math.min(WAIT_MS, d.deadline - d.runtime.clock.wall()))),
  }).catch(() => null);
  await put?.body?.cancel();
  if (!put?.ok)
    return failure(`slack: the upload failed${put ? `: HTTP ${put.status}` : ""}`, "upload_failed", {
      retryable: true,
    });
  const ended = await slackCall(
    d,
    "files.completeUploadExternal",
    {
      files: [{ id, title: filename }],
      channel_id: to.chat_id,
      ...(around.thread ? { thread_ts: around.thread } : {}),
      ...(comment.length === 1 ? { initial_comment: comment[0] } : {}),
    },
    { channel: to.chat_id, repeatable: false },
  );
  if ("fail" in ended) return ended.fail;
  const listed = Array.isArray(ended.ok["files"])
    ? (ended.ok["files"][0] as Record<string, unknown> | undefined)
    : undefined;
  const ts = tsOf(listed, to.chat_id) ?? (await lookUp(d, id, to.chat_id));
  const ids = ts === null ? [] : [ts];
  if (comment.length <= 1) return done(ids);
  // Longer than a comment takes: it follows as a message of its own.
  const more = await around.send(d, to, caption);
  return more.success ? done([...ids, ...(more.ids ?? [])]) : { ...more, ambiguous: true };
}

async function lookUp(d: SendDeps, file: string, chat: string): Promise<string | null> {
  const result = await slackCall(d, "files.info", { file }, { repeatable: true, form: true });
  return "ok" in result ? tsOf(result.ok["file"] as Record<string, unknown> | undefined, chat) : null;
}

function tsOf(file: Record<string, unknown> | undefined, chat: string): string | null {
  const shares = (file?.["shares"] ?? {}) as Record<string, Record<string, { ts?: unknown }[]>>;
  for (const kind of [shares["public"], shares["private"]]) {
    const ts = text(kind?.[chat]?.[0]?.ts);
    if (ts !== null) return ts;
  }
  return null;
}

/** Our token goes to Slack and to the API we were told to use, and nowhere else: a file's link may be anybody's. */
function ours(d: SendDeps, url: URL): boolean {
  if (url.origin === new URL(slackUrl(d)).origin) return true;
  return url.protocol === "https:" && /(?:^|\.)slack(?:-gov|-files)?\.com$/.test(url.hostname);
}

/** A file of a message. One of another workspace has no link yet and is asked for first. */
export async function slackFile(d: SendDeps, ref: MediaRef): Promise<Fetched> {
  let link = ref.ref;
  if (link.startsWith("slack-file:")) {
    const asked = await slackCall(d, "files.info", { file: link.slice(11) }, { repeatable: true, form: true });
    if ("fail" in asked) return { why: asked.fail.error ?? "refused" };
    const file = (asked.ok["file"] ?? {}) as Record<string, unknown>;
    link = text(file["url_private_download"]) ?? text(file["url_private"]) ?? "";
  }
  if (!URL.canParse(link) || !ours(d, new URL(link))) return { why: "it is not stored at Slack" };
  try {
    const response = await fetch(link, {
      headers: { authorization: `Bearer ${slackToken(d)}` },
      redirect: "manual",
      signal: AbortSignal.timeout(WAIT_MS),
    });
    const html = /^text\/html/i.test(response.headers.get("content-type") ?? "") && !/html/i.test(ref.mime ?? "");
    if (response.ok && !html) return { response };
    await response.body?.cancel();
    if (html || response.status === 302) return { why: "Slack wants a sign-in: the app needs the scope files:read" };
    return { why: `HTTP ${response.status}` };
  } catch {
    return { why: "no answer from Slack" };
  }
}
