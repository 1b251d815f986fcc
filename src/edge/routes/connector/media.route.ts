import { Hono } from "hono";
import { cleanFilename, cleanMime, MAX_MEDIA, readMedia, storeMedia } from "../../../gateway";
import { answer, failed, gatewayOf, no } from "../../connector";
import { type AppEnv, type Ctx, runtime } from "../../kit";

/** Files that gateways upload and fetch (hermes-relay §5.4). */
export const mediaRoutes = new Hono<AppEnv>();
mediaRoutes.onError(failed);

/** Header values arrive as bytes; clients that know it percent-encode names. */
function filenameOf(header: string | undefined): string | null {
  if (header === undefined) return null;
  try {
    return cleanFilename(decodeURIComponent(header.slice(0, 765)).slice(0, 255));
  } catch {
    return cleanFilename(header.slice(0, 255));
  }
}

async function upload(c: Ctx): Promise<Response> {
  const gateway = await gatewayOf(c);
  if (gateway instanceof Response) return gateway;
  const length = c.req.header("content-length");
  if (length !== undefined && Number(length) > MAX_MEDIA) return no(413, `the file is over ${MAX_MEDIA} bytes`);
  const { body } = c.req.raw;
  if (!body || length === "0") return no(400, "the file is empty");
  const meta = {
    mime: cleanMime(c.req.header("content-type")),
    filename: filenameOf(c.req.header("x-media-filename")),
  };
  const stored = await storeMedia(c.env.MEDIA, body, meta, runtime(c).clock.now());
  if (stored === "empty") return no(400, "the file is empty");
  if (stored === "too_large") return no(413, `the file is over ${MAX_MEDIA} bytes`);
  return answer(200, { id: stored.id, size: stored.size });
}

/** A client takes the file's ending from here. */
function disposition(filename: string | null): string {
  if (filename === null) return "attachment";
  const ascii = filename.replace(/[^\x20-\x7e]/g, "_").replace(/["\\]/g, "_");
  const more =
    ascii === filename ? "" : `; filename*=UTF-8''${encodeURIComponent(filename).replace(/['()*]/g, percent)}`;
  return `attachment; filename="${ascii}"${more}`;
}
const percent = (c: string): string => `%${c.charCodeAt(0).toString(16).toUpperCase()}`;

async function download(c: Ctx): Promise<Response> {
  const gateway = await gatewayOf(c);
  if (gateway instanceof Response) return gateway;
  const found = await readMedia(c.env.MEDIA, c.req.param("id") ?? "", runtime(c).clock.now());
  if (!found) return no(404, "no such file, or its hour is over");
  return new Response(found.body, {
    headers: {
      "content-type": found.mime ?? "application/octet-stream",
      "content-length": String(found.size),
      "content-disposition": disposition(found.filename),
      "x-content-type-options": "nosniff",
      // Anybody's bytes, on our own origin.
      "content-security-policy": "sandbox; default-src 'none'",
      "cache-control": "private, no-store",
    },
  });
}

mediaRoutes.post("/relay/media", upload);
mediaRoutes.get("/relay/media/:id", download);
mediaRoutes.all("/relay/media", () => no(405, "use POST", { allow: "POST" }));
mediaRoutes.all("/relay/media/:id", () => no(405, "use GET", { allow: "GET" }));
