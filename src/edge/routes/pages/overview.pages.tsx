import { ReveilleError } from "../../../kernel/errors";
import {
  type Around,
  bodyOf,
  countStates,
  filterLines,
  findPage,
  guess,
  type NewForm,
  type NewTargetData,
  NewTargetPage,
  OverviewPage,
  type OverviewTargets,
  readHistory,
  readOverviewFacts,
  readTargetLines,
  STATES,
  type State,
  sortLines,
  withHistory,
} from "../../../operator";
import { activeAt, latestSamples, readLiveWindows, type Snapshot } from "../../../watch";
import { createTarget } from "../../acts";
import { runtime } from "../../kit";
import { previewLook } from "./acts";
import { act, done, type Fields, guarded, OPERATOR, type PageCtx, pageApp, part, show } from "./visit";

/** `/`, `/find` and `/ui/new`. */
export const overviewPages = pageApp();

const PAGE = 200;

async function readOverview(c: PageCtx, state: State | null, text: string, page: number): Promise<OverviewTargets> {
  const { now } = c.get("visit").ctx;
  const db = c.env.DB;
  const [lines, latest, windows] = await Promise.all([
    readTargetLines(db),
    latestSamples(db, now),
    readLiveWindows(db, now),
  ]);
  const around: Around = {
    now,
    confirm: runtime(c).config.confirm,
    latest,
    inMaintenance: (id) => activeAt(windows, id, now) !== null,
  };
  // Reveille's own rules are quiet: they stand among the targets only when they have something to say.
  const sorted = sortLines(lines, around).filter(
    ({ line, view }) => line.kind !== "internal" || view.state === "down" || view.state === "degraded",
  );
  const match = filterLines(sorted, state, text);
  const pages = Math.max(1, Math.ceil(match.length / PAGE));
  const at = Math.min(Math.max(1, page), pages);
  const shown = match.slice((at - 1) * PAGE, at * PAGE);
  const history = shown.length > 0 ? await readHistory(db, now, lines.length) : null;
  return {
    rows: history ? shown.map((x) => withHistory(x, history, around)) : [],
    counts: countStates(sorted),
    matching: match.length,
    total: sorted.length,
    page: at,
    pages,
  };
}

overviewPages.get("/", async (c) => {
  const state = STATES.find((s) => s === c.req.query("state")) ?? null;
  const text = (c.req.query("q") ?? "").slice(0, 100);
  const page = Number.parseInt(c.req.query("page") ?? "1", 10) || 1;
  const [targets, facts] = await Promise.all([
    part(c, "targets", () => readOverview(c, state, text, page)),
    part(c, "incidents", () => readOverviewFacts(c.env.DB)),
  ]);
  return show(c, "Reveille", (shell) => (
    <OverviewPage ctx={c.get("visit").ctx} data={{ targets, facts, state, text }} unread={shell.unread} />
  ));
});

overviewPages.get("/find", async (c) => {
  const text = (c.req.query("q") ?? "").trim().slice(0, 200);
  if (text === "") return c.redirect("/", 303);
  const page = await findPage(c.env.DB, text);
  return c.redirect(page ?? `/audit?q=${encodeURIComponent(text)}`, 303);
});

const newPage = (c: PageCtx, data: NewTargetData, status: 200 | 400 = 200): Promise<Response> =>
  show(c, "Watch something", () => <NewTargetPage ctx={c.get("visit").ctx} data={data} />, status);

overviewPages.get("/ui/new", (c) =>
  newPage(c, { form: guess(c.req.query("url") ?? "", c.req.query("kind")), problem: null, look: null }),
);

const KINDS: NewForm["kind"][] = ["http", "tcp", "heartbeat"];

function formOf(f: Fields): NewForm {
  const blank = guess("");
  return {
    kind: KINDS.find((k) => k === f["kind"]) ?? "http",
    address: (f["address"] ?? "").trim(),
    name: (f["name"] ?? "").trim(),
    every: f["every"] ?? blank.every,
    keyword: f["keyword"] ?? "",
    period: f["period"] ?? blank.period,
    grace: f["grace"] ?? blank.grace,
  };
}

/** "Look now" shows what would be seen and saves nothing; so it may be pressed again and again. */
async function tryLook(c: PageCtx, fields: Fields): Promise<Response> {
  const form = formOf(fields);
  let look: Snapshot | null = null;
  try {
    look = await previewLook(c.env, runtime(c), bodyOf(form));
  } catch (error) {
    if (!(error instanceof ReveilleError)) throw error;
    return newPage(c, { form, problem: { message: error.message, hint: error.hint }, look }, 400);
  }
  return newPage(c, { form, problem: null, look });
}

overviewPages.post("/ui/new", async (c) => {
  const fields = await guarded(c);
  if (fields instanceof Response) return fields;
  if (fields["do"] === "look") return tryLook(c, fields);
  return act(c, "/ui/new", async () => {
    const form = formOf(fields);
    try {
      const made = await createTarget(c.env, runtime(c), bodyOf(form), OPERATOR);
      return done(c, `/targets/${encodeURIComponent(made.id)}`, { text: `${made.name} is watched now.` });
    } catch (error) {
      // A refused form comes back as it was typed, with the reason over it.
      if (!(error instanceof ReveilleError) || error.status >= 500) throw error;
      return newPage(c, { form, problem: { message: error.message, hint: error.hint }, look: null }, 400);
    }
  });
});
