import { readCapped } from "../kernel/http";
import { checkUrl, guardedFetch } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import { failure, type OpResult, type OutFile } from "../platform";
import type { ActionOf } from "./egress.actions";
import { cleanFilename, cleanMime, MAX_MEDIA, ownMediaId, readMedia } from "./media";

/** The file of a `send_media`, in memory: our own re-host straight from R2, anything else past the guard for outside URLs. */

const EXTENSION: Record<string, string> = {
  "image/jpeg": "jpg",
  "image/png": "png",
  "image/gif": "gif",
  "image/webp": "webp",
  "audio/ogg": "ogg",
  "audio/mpeg": "mp3",
  "audio/mp4": "m4a",
  "audio/wav": "wav",
  "video/mp4": "mp4",
  "video/webm": "webm",
  "application/pdf": "pdf",
  "application/zip": "zip",
  "application/json": "json",
  "text/plain": "txt",
};
const MIME_OF_KIND: Record<OutFile["kind"], string> = {
  image: "image/png",
  voice: "audio/ogg",
  audio: "audio/mpeg",
  video: "video/mp4",
  document: "application/octet-stream",
};

const typeByName = (name: string): string | null => {
  const ending = /\.([A-Za-z0-9]{1,5})$/.exec(name)?.[1]?.toLowerCase();
  const known = ending === "jpeg" ? "jpg" : ending;
  return Object.entries(EXTENSION).find(([, e]) => e === known)?.[0] ?? null;
};

export interface MediaSource {
  runtime: Runtime;
  bucket: R2Bucket;
  /** Our own origins, as gateways dial them. */
  origins: string[];
  /** Wall ms. */
  deadline: number;
}

interface Got {
  bytes: Uint8Array;
  mime: string | null;
  filename: string | null;
}

const tooLarge = (): OpResult => failure(`the file is over ${MAX_MEDIA} bytes`, "file_too_large");

async function own(s: MediaSource, id: string): Promise<Got | OpResult> {
  const found = await readMedia(s.bucket, id, s.runtime.clock.now());
  if (!found) return failure("no such file at /relay/media, or its hour is over", "file_not_found");
  const { bytes } = await readCapped(found.body, MAX_MEDIA);
  return { bytes, mime: found.mime, filename: found.filename };
}

async function outside(s: MediaSource, url: URL): Promise<Got | OpResult> {
  const ms = Math.max(1, s.deadline - s.runtime.clock.wall());
  try {
    const init = { signal: AbortSignal.timeout(ms) };
    const { response, url: last } = await guardedFetch(url, init, s.runtime.config.allowPrivate);
    if (!response.ok || Number(response.headers.get("content-length") ?? 0) > MAX_MEDIA) {
      await response.body?.cancel();
      return response.ok
        ? tooLarge()
        : failure(`the file could not be fetched: HTTP ${response.status}`, "file_not_found");
    }
    const { bytes, truncated } = await readCapped(response.body, MAX_MEDIA);
    if (truncated) return tooLarge();
    const name = decodeURIComponent(last.pathname.split("/").at(-1) ?? "");
    return { bytes, mime: cleanMime(response.headers.get("content-type")), filename: cleanFilename(name) };
  } catch {
    // Not its words: they may hold an address of ours.
    return failure("the file could not be fetched", "file_not_found", { retryable: true });
  }
}

/** The file, or why it can't be sent. */
export async function outgoingFile(
  s: MediaSource,
  action: ActionOf<"send_media">,
): Promise<{ file: OutFile } | OpResult> {
  let url: URL;
  try {
    url = new URL(action.source_url);
    if (ownMediaId(url, s.origins) === null) checkUrl(url.href, s.runtime.config.allowPrivate);
  } catch {
    return failure("source_url is no http(s) URL that may be fetched", "bad_url");
  }
  const id = ownMediaId(url, s.origins);
  const got = id === null ? await outside(s, url) : await own(s, id);
  if ("success" in got) return got;
  if (got.bytes.length === 0) return failure("the file is empty", "file_empty");
  const given = cleanFilename(action.filename) ?? got.filename;
  const stored = got.mime === "application/octet-stream" ? null : got.mime;
  const mime = stored ?? (given === null ? null : typeByName(given)) ?? MIME_OF_KIND[action.media_kind];
  const base = given ?? action.media_kind;
  const filename = /\.[A-Za-z0-9]{1,8}$/.test(base) ? base : `${base}.${EXTENSION[mime] ?? "bin"}`;
  return { file: { kind: action.media_kind, bytes: got.bytes, mime, filename } };
}
