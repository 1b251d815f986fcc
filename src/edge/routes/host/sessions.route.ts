import { Hono } from "hono";
import { clientLine } from "../../../../durable-objects/client-line.do";
import { sessionObject } from "../../../../durable-objects/session.stub";
import { readVar, truthy } from "../../../kernel/config";
import { describe } from "../../../kernel/errors";
import { readIndex, type SessionRecord, sessionsOf, usableSessionId, withoutPrompt } from "../../../session";
import { type AppEnv, type Ctx, runtime } from "../../kit";
import { answer, CORS, limited, no, notFound, ownAddress, signerOf } from "./shared";

/** Most sessions of one list; each is asked of its own object. */
const MOST = 50;
/** A stream of events is closed after this long; its client comes back with the cursor. Wall ms. */
const STREAM_FOR = 15 * 60_000;
/** Wall ms without an event after which a comment keeps the stream open. */
const QUIET = 15_000;
const BATCH = 200;

interface Found {
  owner: string | null;
  record: SessionRecord;
}

/**
 * A session's newest record, whether its agent is ours or behind the relay. Null: unknown or expired. Ids are the clients'
 * choice, so two clients may have one of the same name each: a signer gets its own.
 */
async function find(c: Ctx, id: string, signer: string | null): Promise<Found | null> {
  const row = await readIndex(c.env.DB, id).catch(() => null);
  const here = (): Promise<Found | null> => sessionObject(c.env.SESSION, id).record();
  const there = async (): Promise<Found | null> => (await clientLine(c.env.CLIENT_LINE, id).read(id)) as Found | null;
  const own = row === null ? null : row.agent === (await ownAddress(c));
  const first = await (own === false ? there() : here());
  const fits = first !== null && (signer === null || first.owner === signer);
  // The index may be some seconds behind, so an id it does not have is asked for at both homes.
  if (fits || (own !== null && signer === null)) return first;
  const second = await (own === false ? here() : there());
  return second !== null && (first === null || second.owner === signer) ? second : first;
}

/** An id nobody guesses: a random UUID, or as many random digits. Clients may choose others, and those are no secret. */
const UNGUESSABLE = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|[0-9a-f]{32,128})$/i;

/** `GET /sessions/{id}`: its owner sees the record; who only knows the id sees the result, while 0.6.5 polling is allowed. */
async function one(c: Ctx): Promise<Response> {
  const id = usableSessionId(c.req.param("id"));
  const signer = await signerOf(c);
  if (signer !== null && typeof signer !== "string") return no(signer.error);
  const legacy = truthy(readVar(runtime(c).vars, "REVEILLE_LEGACY_POLLING"));
  if (signer === null && !legacy) return no("unauthorized: signed request required");
  const full = await limited(c, "read");
  if (full) return full;
  if (signer === null && id !== null && !UNGUESSABLE.test(id)) return no("unauthorized: signed request required");
  const found = id === null ? null : await find(c, id, signer);
  if (!found) return notFound();
  if (signer === null) return answer(200, withoutPrompt(found.record));
  // Foreign and unknown look the same.
  return found.owner !== null && found.owner !== signer ? notFound() : answer(200, found.record);
}

/** `GET /sessions`: the caller's own, newest first. */
async function list(c: Ctx): Promise<Response> {
  const signer = await signerOf(c);
  if (signer === null) return no("unauthorized: signed request required");
  if (typeof signer !== "string") return no(signer.error);
  const full = await limited(c, "read");
  if (full) return full;
  const rows = await sessionsOf(c.env.DB, signer, MOST);
  const records = await Promise.all(rows.map((row) => find(c, row.id, signer)));
  return answer(200, { sessions: records.flatMap((f) => (f?.owner === signer ? [f.record] : [])) });
}

/** Where a session's event log is: with our own agent, or with the relay. Null: the signer owns no session of this name. */
async function sourceFor(c: Ctx, id: string, signer: string) {
  const own = () => sessionObject(c.env.SESSION, id);
  if ((await own().owner()) === signer) return own;
  const relayed = () => clientLine(c.env.CLIENT_LINE, id);
  return (await relayed().read(id))?.owner === signer ? relayed : null;
}

/**
 * `GET /sessions/{id}/events`: the event log as Server-Sent Events, for its owner. `Last-Event-ID` or `?last_msg_id=` goes on
 * after a cursor; what the log no longer has is told as an event `gap`. The object is asked again and again, so its restart is
 * not seen.
 */
async function events(c: Ctx): Promise<Response> {
  const id = usableSessionId(c.req.param("id"));
  const signer = await signerOf(c);
  if (signer === null) return no("unauthorized: signed request required");
  if (typeof signer !== "string") return no(signer.error);
  const full = await limited(c, "read");
  if (full) return full;
  const source = id === null ? null : await sourceFor(c, id, signer);
  if (!source) return notFound();
  const cursor = c.req.header("last-event-id") ?? c.req.query("last_msg_id") ?? null;
  const { clock, log } = runtime(c);
  const until = clock.wall() + STREAM_FOR;
  const encoder = new TextEncoder();
  let at: string | number | null = cursor;
  let open = true;
  const next = async (out: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    // A fresh stub each time: one that failed stays broken.
    const page = await source().eventsAfter(at, BATCH, QUIET);
    if (!open) return;
    // It expired meanwhile, and may be another's by now.
    if (page.owner !== signer) {
      open = false;
      return out.close();
    }
    const text = page.frames.map((f) => `id: ${f.seq}\nevent: ${typeOf(f.text)}\ndata: ${f.text}\n\n`).join("");
    const gap = page.gap
      ? `event: gap\ndata: ${JSON.stringify({ type: "gap", session_id: id, last_msg_id: at, first_seq: page.frames[0]?.seq ?? null })}\n\n`
      : "";
    at = page.after;
    out.enqueue(encoder.encode(gap + text || ": still here\n\n"));
  };
  const body = new ReadableStream<Uint8Array>({
    pull: async (out) => {
      for (let attempt = 0; ; attempt++) {
        try {
          await next(out);
          break;
        } catch (error) {
          log("warn", "session.stream_failed", { session: id, attempt, error: describe(error) });
          if (attempt === 3) throw error;
        }
      }
      if (open && clock.wall() > until) {
        open = false;
        out.close();
      }
    },
    cancel: () => {
      open = false;
    },
  });
  return new Response(body, {
    headers: { ...CORS, "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" },
  });
}

const typeOf = (text: string): string => (JSON.parse(text) as { type: string }).type.replace(/[^\w-]/g, "");

export const sessionRoutes = new Hono<AppEnv>();
sessionRoutes.get("/sessions", list);
sessionRoutes.get("/sessions/:id", one);
sessionRoutes.get("/sessions/:id/events", events);
