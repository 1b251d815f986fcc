import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { getCookie } from "hono/cookie";
import type { Child } from "hono/jsx";
import { switchboard } from "../../../../durable-objects/switchboard.do";
import { DAY, SECOND } from "../../../kernel/clock";
import { readVar } from "../../../kernel/config";
import { sha256Hex } from "../../../kernel/crypto";
import { describe, ReveilleError } from "../../../kernel/errors";
import { newId, randomToken } from "../../../kernel/ids";
import {
  ASSETS,
  BarePage,
  claimForm,
  csrfGood,
  csrfToken,
  FLASH_COOKIE,
  type Flash,
  flashCookie,
  noFlashCookie,
  openSession,
  Page,
  type PageContext,
  type Part,
  ProblemPage,
  readFlash,
  readShell,
  releaseForm,
  SESSION_COOKIE,
  type ShellData,
  versionTag,
  zoneOf,
} from "../../../operator";
import type { EdgeEnv } from "../../env";
import { runtime } from "../../kit";

/** What every page route shares: who reads, one way to render, one way to act. */

/** One request of a signed-in operator. */
export interface Visit {
  ctx: PageContext;
  /** Hash of the session; never the token. */
  session: string;
  flash: Flash | null;
  etag: string | null;
}

export interface PageEnv {
  Bindings: EdgeEnv;
  Variables: { visit: Visit };
}
export type PageCtx = Context<PageEnv>;
/** Whoever has signed in with a code; there is one operator (Cloudflare Access names come later). */
export const OPERATOR = "operator";

export const pageApp = (): Hono<PageEnv> => new Hono<PageEnv>();

const POLICY =
  "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; img-src 'self'";

/** Headers of every page: no foreign content, no framing, nothing kept by caches. */
export const guardHeaders: MiddlewareHandler<PageEnv> = async (c, next) => {
  await next();
  c.header("content-security-policy", POLICY);
  c.header("x-content-type-options", "nosniff");
  c.header("referrer-policy", "same-origin");
  if (!c.res.headers.has("cache-control")) c.header("cache-control", "no-store");
};

export const isSecure = (c: PageCtx): boolean => new URL(c.req.url).protocol === "https:";
export const vars = (c: PageCtx): Record<string, unknown> => c.env as unknown as Record<string, unknown>;
const sessionKey = (c: PageCtx): string => readVar(vars(c), "REVEILLE_SESSION_KEY");

/** The moment and the reader of a page; `csrf` is empty for strangers. */
export function contextOf(c: PageCtx, csrf = ""): PageContext {
  const { clock } = runtime(c);
  const url = new URL(c.req.url);
  return {
    now: clock.now(),
    rate: clock.rate,
    zone: zoneOf(getCookie(c, "reveille_zone")),
    path: url.pathname + url.search,
    csrf,
    formKey: randomToken(12),
    request: c.req.header("cf-ray") ?? newId(clock.wall()),
  };
}

/** The session of the request's cookie, or null. */
export const sessionOf = (c: PageCtx): Promise<string | null> =>
  openSession(c.env.DB, getCookie(c, SESSION_COOKIE), runtime(c).clock.now());

/** The visit of a signed-in operator, kept for the rest of the request; null for a stranger. */
export async function openVisit(c: PageCtx): Promise<Visit | null> {
  const session = await sessionOf(c);
  if (session === null) return null;
  const ctx = contextOf(c, await csrfToken(sessionKey(c), session));
  const visit: Visit = { ctx, session, flash: readFlash(getCookie(c, FLASH_COOKIE)), etag: null };
  c.set("visit", visit);
  return visit;
}

/** What these show is in objects, or in rows that the tag of pages leaves out: it does not tell that they changed. */
const OBJECT_PAGES = /^\/(?:platforms|gateways|deliveries|dead-letters|slo|messaging)\b/;

/** Only for the signed-in: others are sent to /login and come back afterwards. Answers an unchanged page with 304. */
export const signedIn: MiddlewareHandler<PageEnv> = async (c, next) => {
  const visit = await openVisit(c);
  if (visit === null) {
    const url = new URL(c.req.url);
    const back =
      c.req.method === "GET" && url.pathname !== "/" ? `?next=${encodeURIComponent(url.pathname + url.search)}` : "";
    return c.redirect(`/login${back}`, 303);
  }
  if (c.req.method === "GET" && !visit.flash) {
    const { ctx, session } = visit;
    const turn = OBJECT_PAGES.test(ctx.path) ? Math.floor(ctx.now / SECOND) : 0;
    const seed = [session.slice(0, 16), ctx.zone, ctx.path, turn, ...ASSETS.keys()].join("|");
    visit.etag = await versionTag(c.env.DB, ctx.now, seed).catch(() => null);
    if (visit.etag !== null && c.req.header("if-none-match") === visit.etag)
      return c.body(null, 304, { etag: visit.etag });
  }
  return next();
};

/** Reads one part of a page; its failure is that part's alone, logged with the request it belongs to. */
export async function part<T>(c: PageCtx, what: string, read: () => Promise<T>): Promise<Part<T>> {
  try {
    return { ok: true, value: await read() };
  } catch (error) {
    const code = error instanceof ReveilleError ? error.code : "store_unavailable";
    runtime(c).log("error", "page.part_failed", {
      what,
      code,
      request: c.get("visit").ctx.request,
      error: describe(error),
    });
    return { ok: false, what, code };
  }
}

/** The frame's own data; what can't be read is left out of it rather than failing the page. */
async function shellOf(c: PageCtx, now: number): Promise<ShellData> {
  const [facts, switches] = await Promise.all([
    part(c, "the frame", () => readShell(c.env.DB, now)),
    switchboard(c.env.SWITCHBOARD).readOrStop(),
  ]);
  return {
    ...(facts.ok ? facts.value : { looked_at: 0, blind: false, unread: 0, open: 0 }),
    switches: { ...switches, unreadable: switches.unreadable === true },
  };
}

const DOCTYPE = "<!doctype html>";

/** A page in the shell. `body` gets the frame's data, so that nothing is read twice. */
export async function show(
  c: PageCtx,
  title: string,
  body: (shell: ShellData) => Child,
  status: 200 | 400 | 403 | 404 = 200,
): Promise<Response> {
  const { ctx, flash, etag } = c.get("visit");
  const shell = await shellOf(c, ctx.now);
  const live = status === 200 && c.req.method === "GET" && etag !== null;
  const html = (
    <Page ctx={ctx} shell={shell} title={title} flash={flash} {...(live ? { etag } : {})}>
      {body(shell)}
    </Page>
  );
  if (flash) c.header("set-cookie", noFlashCookie(), { append: true });
  if (live) c.header("etag", etag);
  return c.html(DOCTYPE + String(html), status);
}

/** A page for strangers. */
export function showBare(c: PageCtx, title: string, body: Child, status: 200 | 401 | 404 | 429 | 503 = 200): Response {
  const html = (
    <BarePage ctx={contextOf(c)} title={title}>
      {body}
    </BarePage>
  );
  return c.html(DOCTYPE + String(html), status) as Response;
}

/** Ends an act: a redirect that carries one line. */
export function done(c: PageCtx, to: string, flash: Flash): Response {
  c.header("set-cookie", flashCookie(flash, isSecure(c)), { append: true });
  return c.redirect(to, 303);
}

/** Fields of a form; files and repeated fields are not ours. */
export type Fields = Record<string, string>;

const MAX_FORM = 64 * 1024;
export const formLimit = bodyLimit({
  maxSize: MAX_FORM,
  onError: (c) => c.text("This form is larger than 64 KiB.\n", 413),
});

async function fieldsOf(c: PageCtx): Promise<Fields> {
  const form = await c.req.parseBody();
  return Object.fromEntries(Object.entries(form).filter((e): e is [string, string] => typeof e[1] === "string"));
}

/** The form's fields when it carries this session's token, else the page that says why not. */
export async function guarded(c: PageCtx): Promise<Fields | Response> {
  const visit = c.get("visit");
  const fields = await fieldsOf(c);
  const foreign = c.req.header("sec-fetch-site") === "cross-site";
  if (!foreign && (await csrfGood(sessionKey(c), visit.session, fields["csrf"]))) return fields;
  runtime(c).log("warn", "form.refused", { path: visit.ctx.path, foreign });
  const text = "This form does not belong to your session. Open the page again and repeat; nothing was done.";
  return show(c, "Refused", () => <ProblemPage title="Refused" text={text} back="/" />, 403);
}

/** What a person is told when an act can't be done. */
export const problemText = (error: ReveilleError): string => [error.message, error.hint].filter(Boolean).join(" ");

/**
 * Runs the act of a form once: a second send of the same form (double click, Back) answers "done already". A refused act
 * gives its key back, says why, and may be sent again.
 */
export async function act(c: PageCtx, back: string, run: (fields: Fields) => Promise<Response>): Promise<Response> {
  const fields = await guarded(c);
  if (fields instanceof Response) return fields;
  const { ctx, session } = c.get("visit");
  const { csrf: _csrf, form_key = "", ...rest } = fields;
  const key = await sha256Hex(
    JSON.stringify([session, form_key, new URL(c.req.url).pathname, Object.entries(rest).sort()]),
  );
  if (form_key !== "" && !(await claimForm(c.env.DB, key, ctx.now, ctx.now - DAY)))
    return done(c, back, { text: "This was done already; nothing was repeated." });
  try {
    return await run(rest);
  } catch (error) {
    await releaseForm(c.env.DB, key).catch(() => {});
    if (error instanceof ReveilleError && error.status < 500)
      return done(c, back, { text: problemText(error), bad: true });
    const code = error instanceof ReveilleError ? error.code : "store_unavailable";
    runtime(c).log("error", "act.failed", { path: ctx.path, code, request: ctx.request, error: describe(error) });
    const text =
      error instanceof ReveilleError
        ? problemText(error)
        : "It could not be done: the store did not answer. Try again.";
    return done(c, back, { text: `${text} (${code}, request ${ctx.request})`, bad: true });
  }
}
