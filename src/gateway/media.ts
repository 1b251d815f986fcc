import { HOUR } from "../kernel/clock";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { type Holds, type MediaItem, type MediaRef, type MessageEvent, senderOf } from "../platform";
import type { StoredEvent } from "./types";
import { mediaOf, withMedia } from "./wire";

/** Files between platforms and gateways: kept in R2 for an hour, fetched with an upgrade token (hermes-relay §5.4, §6.4). */

export const MAX_MEDIA = 25 * 1024 * 1024;
/** Reveille ms that a file can be fetched. */
export const MEDIA_TTL_MS = HOUR;
/** What is in memory of one file at a time; R2 takes no smaller part. */
const PART = 5 * 1024 * 1024;
const PREFIX = "relay/";
/** Files of one event; more are named and left out. */
const MAX_FILES = 20;
/** For all files of one event, wall ms: its gateway waits for the next one, too. */
const REHOST_MS = 45_000;

export interface MediaMeta {
  mime: string | null;
  filename: string | null;
}
export interface StoredMedia extends MediaMeta {
  id: string;
  size: number;
}

const ID = /^[0-9a-f]{32}$/;
const newMediaId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

/** A MIME type that may stand in a header, or none. */
export const cleanMime = (mime: string | null | undefined): string | null =>
  /^[\w.+-]{1,60}\/[\w.+-]{1,100}$/.exec((mime ?? "").split(";")[0]!.trim().toLowerCase())?.[0] ?? null;

/** The last part of a path, without what a header or a file system could misread. */
export function cleanFilename(name: string | null | undefined): string | null {
  const last = (name ?? "").split(/[\\/]/).at(-1)!;
  const clean = last
    .replace(/[\p{Cc}\p{Cf}\p{Cs}"<>:|?*;]/gu, "_")
    .replace(/^\.+/, "")
    .trim();
  return clean === "" ? null : clean.length <= 150 ? clean : clean.slice(0, 100) + clean.slice(-50);
}

/** Fills parts of `PART` bytes from a stream. @throws what the stream throws. */
async function* partsOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  let part = new Uint8Array(PART);
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (let from = 0; from < value.length; ) {
        const n = Math.min(PART - at, value.length - from);
        part.set(value.subarray(from, from + n), at);
        at += n;
        from += n;
        if (at < PART) continue;
        yield part;
        part = new Uint8Array(PART);
        at = 0;
      }
    }
    if (at > 0) yield part.subarray(0, at);
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * Stores a stream of unknown length part by part: never more than a part of it is in memory. `now`: Reveille ms.
 * @throws what the stream or R2 throws; nothing is kept then.
 */
export async function storeMedia(
  bucket: R2Bucket,
  stream: ReadableStream<Uint8Array>,
  meta: MediaMeta,
  now: number,
): Promise<StoredMedia | "empty" | "too_large"> {
  const id = newMediaId();
  const options: R2MultipartOptions = {
    httpMetadata: { contentType: meta.mime ?? "application/octet-stream" },
    customMetadata: {
      expires: String(now + MEDIA_TTL_MS),
      ...(meta.filename ? { filename: encodeURIComponent(meta.filename) } : {}),
    },
  };
  const key = PREFIX + id;
  let size = 0;
  let upload: R2MultipartUpload | null = null;
  const uploaded: R2UploadedPart[] = [];
  const abort = async (): Promise<void> => {
    await upload?.abort().catch(() => {});
  };
  try {
    for await (const part of partsOf(stream)) {
      size += part.length;
      if (size > MAX_MEDIA) {
        await abort();
        return "too_large";
      }
      if (upload === null && part.length < PART) await bucket.put(key, part, options);
      else {
        upload ??= await bucket.createMultipartUpload(key, options);
        uploaded.push(await upload.uploadPart(uploaded.length + 1, part));
      }
    }
    if (size === 0) return "empty";
    await upload?.complete(uploaded);
  } catch (error) {
    await abort();
    throw error;
  }
  return { id, size, ...meta };
}

/** A stored file; null: none of that id, or its hour is over. */
export async function readMedia(
  bucket: R2Bucket,
  id: string,
  now: number,
): Promise<(StoredMedia & { body: ReadableStream }) | null> {
  const object = ID.test(id) ? await bucket.get(PREFIX + id) : null;
  if (!object) return null;
  if (Number(object.customMetadata?.["expires"] ?? 0) <= now) {
    await object.body.cancel();
    return null;
  }
  const name = object.customMetadata?.["filename"];
  return {
    id,
    size: object.size,
    mime: object.httpMetadata?.contentType ?? null,
    filename: name === undefined ? null : decodeURIComponent(name),
    body: object.body,
  };
}

/** Deletes what nobody may fetch any more, at most 5,000 a time. Returns how many. */
export async function sweepMedia(bucket: R2Bucket, now: number): Promise<number> {
  let gone = 0;
  let cursor: string | undefined;
  for (let page = 0; page < 5; page++) {
    const listed = await bucket.list({ prefix: PREFIX, include: ["customMetadata"], ...(cursor ? { cursor } : {}) });
    const keys = listed.objects.filter((o) => Number(o.customMetadata?.["expires"] ?? 0) <= now).map((o) => o.key);
    if (keys.length > 0) await bucket.delete(keys);
    gone += keys.length;
    if (!listed.truncated) break;
    cursor = listed.cursor;
  }
  return gone;
}

/** The id in a link to our own re-host; null: it leads elsewhere. `origins`: ours, as gateways dial them. */
export function ownMediaId(url: URL, origins: readonly string[]): string | null {
  const id = /^\/relay\/media\/([0-9a-f]{32})$/.exec(url.pathname)?.[1];
  return id !== undefined && origins.includes(url.origin) ? id : null;
}

export interface RehostDeps {
  runtime: Runtime;
  bucket: R2Bucket;
  holds: Holds;
  /** `https://host` as the gateway dialled it: it sends its token there and nowhere else. */
  origin: string;
  broken(platform: string, app: string, why: string): void;
}

/**
 * The event with links that its gateway can fetch: each file is read with the platform's credential, here and nowhere else, and kept
 * in R2. What can't be had, or is over 25 MiB, is named in the text: the message still goes. Never throws for a file.
 */
export async function rehost(deps: RehostDeps, stored: StoredEvent): Promise<MessageEvent> {
  const refs = mediaOf(stored);
  const until = deps.runtime.clock.wall() + REHOST_MS;
  const items: MediaItem[] = [];
  const notes: string[] = [];
  for (const ref of refs.slice(0, MAX_FILES)) {
    const made = await rehostOne(deps, stored, ref, until).catch((error) => {
      deps.runtime.log("warn", "media.rehost_failed", { platform: stored.platform, error: describe(error) });
      return "it could not be stored";
    });
    if (typeof made === "string") notes.push(`[${nameOf(ref)} is missing: ${deps.runtime.redact.text(made)}]`);
    else items.push(made);
  }
  if (refs.length > MAX_FILES) notes.push(`[${refs.length - MAX_FILES} more files were left out]`);
  return withMedia(stored.event, items, notes);
}

const nameOf = (ref: MediaRef): string => (ref.filename ? `file ${cleanFilename(ref.filename)}` : ref.kind);
const TOO_LARGE = "it is larger than 25 MiB";

async function rehostOne(
  deps: RehostDeps,
  stored: StoredEvent,
  ref: MediaRef,
  until: number,
): Promise<MediaItem | string> {
  const { runtime, bucket, holds, origin } = deps;
  const { platform, app } = stored;
  if (ref.size !== null && ref.size > MAX_MEDIA) return TOO_LARGE;
  const sender = senderOf(platform);
  if (!sender?.file) return "files of this platform can't be fetched";
  if (sender.unset(runtime.vars, app)) return `${platform} is not configured`;
  const broken = (why: string): void => deps.broken(platform, app, why);
  const got = await sender.file({ runtime, app, holds, deadline: until, broken }, ref);
  const item = (url: string, mime: string | null, size: number | null, filename: string | null): MediaItem => ({
    url,
    kind: ref.kind,
    mime,
    size,
    filename,
    caption: ref.caption,
  });
  if ("why" in got) {
    // Public as it is: a signed link that needs no credential of ours.
    if (platform === "discord" && /^https:\/\/(cdn|media)\.discord(app)?\.(com|net)\//.test(ref.ref))
      return item(ref.ref, ref.mime, ref.size, ref.filename);
    return got.why;
  }
  const { response } = got;
  const meta = {
    mime: cleanMime(got.mime) ?? cleanMime(ref.mime) ?? cleanMime(response.headers.get("content-type")),
    filename: cleanFilename(got.filename ?? ref.filename),
  };
  if (!response.body || Number(response.headers.get("content-length") ?? 0) > MAX_MEDIA) {
    await response.body?.cancel();
    return response.body ? TOO_LARGE : "it is empty";
  }
  const kept = await storeMedia(bucket, response.body, meta, runtime.clock.now());
  if (kept === "too_large") return TOO_LARGE;
  if (kept === "empty") return "it is empty";
  return item(`${origin}/relay/media/${kept.id}`, meta.mime, kept.size, meta.filename);
}
