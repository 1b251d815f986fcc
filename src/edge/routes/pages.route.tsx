import { describe, ReveilleError } from "../../kernel/errors";
import {
  ASSETS,
  type CodeRefusal,
  closeSession,
  LoginPage,
  NotFoundPage,
  ProblemPage,
  sessionCookie,
  spendCode,
} from "../../operator";
import { runtime } from "../kit";
import { budgetPages } from "./pages/budget.pages";
import { connectorPages } from "./pages/connector.pages";
import { controlPages } from "./pages/control.pages";
import { deliveryPages } from "./pages/delivery.pages";
import { fixPages } from "./pages/fix.pages";
import { incidentPages } from "./pages/incident.pages";
import { maintenancePages } from "./pages/maintenance.pages";
import { messagingPages } from "./pages/messaging.pages";
import { overviewPages } from "./pages/overview.pages";
import { platformPages } from "./pages/platform.pages";
import { relayPages } from "./pages/relay.pages";
import { sloPages } from "./pages/slo.pages";
import { targetPages } from "./pages/target.pages";
import { trustPages } from "./pages/trust.pages";
import {
  contextOf,
  formLimit,
  guarded,
  guardHeaders,
  isSecure,
  openVisit,
  type PageCtx,
  pageApp,
  sessionOf,
  show,
  showBare,
  signedIn,
} from "./pages/visit";

/** The operator pages (design §8): assets, sign-in, the pages themselves, and what answers an unknown path. */
export const pageRoutes = pageApp();

pageRoutes.onError((error, c) => {
  const ctx = contextOf(c);
  const ours = error instanceof ReveilleError;
  runtime(c).log("error", "page.failed", { path: ctx.path, request: ctx.request, error: describe(error) });
  const text = ours
    ? [error.message, error.hint].filter(Boolean).join(" ")
    : `The store did not answer. The watch runs apart from this page. Request ${ctx.request}.`;
  const response = showBare(c, "Not now", <ProblemPage title="Not now" text={text} back={ctx.path} />, 503);
  return response;
});
pageRoutes.use("*", guardHeaders);
pageRoutes.use("*", formLimit);

pageRoutes.get("/assets/:name", (c) => {
  const asset = ASSETS.get(new URL(c.req.url).pathname);
  if (!asset) return c.notFound();
  return c.body(asset.body, 200, {
    "content-type": asset.type,
    "cache-control": "public, max-age=31536000, immutable",
  });
});

/** Where to go after signing in: one of our own pages, whatever the query says. */
const nextOf = (text: string | undefined): string | null =>
  text && /^\/(?![/\\])[\x21-\x7e]{0,300}$/.test(text) && !text.startsWith("/login") ? text : null;

const WHY: Record<CodeRefusal, string> = {
  unknown: "This code is not known. Print a new one: npm run link",
  used: "This code was used already; each works once. Print a new one: npm run link",
  expired: "This code is over ten minutes old. Print a new one: npm run link",
};

async function signIn(c: PageCtx, code: string, next: string | null): Promise<Response> {
  const result = await spendCode(c.env.DB, code, runtime(c).clock.now());
  if (result.ok) {
    c.header("set-cookie", sessionCookie(result.token, isSecure(c)), { append: true });
    return c.redirect(next ?? "/", 303);
  }
  const { success } = await c.env.AUTH_LIMIT.limit({ key: `login:${c.req.header("cf-connecting-ip") ?? "local"}` });
  runtime(c).log("warn", "login.refused", { why: result.why, limited: !success });
  if (!success)
    return showBare(c, "Sign in", <LoginPage problem="Too many wrong codes; wait a minute." next={next} />, 429);
  return showBare(c, "Sign in", <LoginPage problem={WHY[result.why]} next={next} />, 401);
}

pageRoutes.get("/login", async (c) => {
  const next = nextOf(c.req.query("next"));
  const code = c.req.query("code");
  if (code) return signIn(c, code.slice(0, 40), next);
  if ((await sessionOf(c)) !== null) return c.redirect(next ?? "/", 303);
  return showBare(c, "Sign in", <LoginPage next={next} />);
});

pageRoutes.post("/login", async (c) => {
  const form = await c.req.parseBody();
  const text = (name: string): string => (typeof form[name] === "string" ? form[name] : "");
  // Another site could otherwise sign this browser in as someone else.
  if (c.req.header("sec-fetch-site") === "cross-site") return c.redirect("/login", 303);
  return signIn(c, text("code").slice(0, 40), nextOf(text("next")));
});

pageRoutes.post("/logout", signedIn, async (c) => {
  const fields = await guarded(c);
  if (fields instanceof Response) return fields;
  await closeSession(c.env.DB, c.get("visit").session);
  c.header("set-cookie", sessionCookie("", isSecure(c)), { append: true });
  return c.redirect("/login", 303);
});

/** Pages for the signed-in. Any other path is told apart from them, so that no machine is sent to a sign-in form. */
const PAGES = [
  "/",
  "/find",
  "/ui/*",
  "/targets/*",
  "/incidents/*",
  "/inbox/*",
  "/maintenance/*",
  "/switchboard/*",
  "/listeners",
  "/platforms/*",
  "/gateways/*",
  "/deliveries/*",
  "/dead-letters/*",
  "/slo/*",
  "/messaging/*",
  "/budget",
  "/audit",
];
for (const path of PAGES) pageRoutes.use(path, signedIn);
pageRoutes.route("/", overviewPages);
pageRoutes.route("/", targetPages);
pageRoutes.route("/", incidentPages);
pageRoutes.route("/", fixPages);
pageRoutes.route("/", maintenancePages);
pageRoutes.route("/", controlPages);
pageRoutes.route("/", budgetPages);
pageRoutes.route("/", connectorPages);
pageRoutes.route("/", deliveryPages);
pageRoutes.route("/", platformPages);
pageRoutes.route("/", relayPages);
pageRoutes.route("/", trustPages);
pageRoutes.route("/", sloPages);
pageRoutes.route("/", messagingPages);

pageRoutes.all("*", async (c) => {
  const visit = c.get("visit") ?? (await openVisit(c));
  if (!visit) return showBare(c, "Not found", <NotFoundPage />, 404);
  return show(c, "Not found", () => <NotFoundPage />, 404);
});
