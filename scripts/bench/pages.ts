import { gzipSync } from "node:zlib";
import type { Measure } from "../lib/measure";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { openSandbox, quantile, type Sandbox, type Service, seeded, sleep, startService } from "../lib/sandbox";
import {
  addTargets,
  enter,
  history,
  minute,
  nameOf,
  nextMinute,
  note,
  nothingSeen,
  type Seen,
  TARGETS,
} from "./watch/stage";

/**
 * The operator's pages over 1,000 targets and 14 days: the server's time for each, and what it weighs. Asked one at a time over a
 * connection of its own, in another order every round; /healthz stands beside them as the cost of asking at all.
 */

const VIEWS = 60;
const DOWN = 5;
const OPEN_LIMIT = 90_000;
const AUDIT_ROWS = 100_000;
const DAY = 86_400_000;
/** Of a page's HTML, gzip, at 200 rows (operator-experience §6). */
const HTML_KIB = 40;
const SERVER_MS = 300;

/** Caption of the table of found rows. */
const ROWS = "Audit rows, newest first";

interface Page {
  name: string;
  label: string;
  path: string;
  /** Stands in the page when it is whole. */
  has: string;
}

interface Weighed extends Page {
  times: number[];
  bytes: number;
  gzip: number;
  nodes: number;
}

/** Some targets fall, their incidents open; judged by the log. */
async function fall(ctx: RunContext, box: Sandbox, service: Service, seen: Seen): Promise<void> {
  for (let i = 0; i < DOWN; i++) service.set(nameOf(i), "503");
  await minute(box, seen, nextMinute());
  for (const end = Date.now() + OPEN_LIMIT; new Set(seen.wakes).size < DOWN && !ctx.signal.aborted; await sleep(200)) {
    ctx.progress.update("incidents", `${new Set(seen.wakes).size} of ${DOWN} open`);
    if (Date.now() > end)
      throw new Error(`Only ${seen.wakes.length} of ${DOWN} incidents opened within ${OPEN_LIMIT / 1000} s.`);
  }
}

/** The audit of fourteen days, made inside SQLite from the rows that the product wrote a moment ago. */
async function auditPast(box: Sandbox): Promise<number> {
  const db = box.rt.d1;
  const n = (await db.prepare("SELECT COUNT(*) AS n FROM audit").first<number>("n")) ?? 0;
  const copies = Math.ceil(AUDIT_ROWS / n);
  await db
    .prepare(
      `WITH RECURSIVE step(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM step WHERE i < ?1)
       INSERT INTO audit (emitted_at, seam, source, session_id, incident_id, wake_id, details)
       SELECT a.emitted_at - (?1 - i) * ?2, a.seam, a.source, a.session_id, a.incident_id, a.wake_id, a.details
       FROM step, audit a WHERE a.id <= (SELECT MAX(id) FROM audit)`,
    )
    .bind(copies, Math.floor((14 * DAY) / copies))
    .run();
  return n * (copies + 1);
}

async function pagesOf(box: Sandbox): Promise<Page[]> {
  const { items } = await box.api.call<{ items: { id: string }[] }>("GET", "/api/v1/incidents?state=open");
  const incident = items[0]?.id;
  if (!incident) throw new Error("No incident is open.");
  const target = nameOf(TARGETS / 2);
  const seam = await box.rt.d1
    .prepare("SELECT seam FROM audit GROUP BY seam ORDER BY COUNT(*) DESC LIMIT 1")
    .first<string>("seam");
  const search = (q: string): string => `/audit?q=${encodeURIComponent(q)}`;
  return [
    { name: "overview", label: "overview", path: "/", has: nameOf(0) },
    { name: "target", label: "target", path: `/targets/${target}`, has: target },
    { name: "incident", label: "incident", path: `/incidents/${incident}`, has: "bench-" },
    { name: "audit_seam", label: "audit, by seam", path: search(`seam:${seam} since:13d`), has: ROWS },
    { name: "audit_by", label: "audit, by whom", path: search("by:api since:13d"), has: ROWS },
    { name: "audit_id", label: "audit, by an id", path: search(incident), has: ROWS },
  ];
}

async function views(ctx: RunContext, box: Sandbox): Promise<{ pages: Weighed[]; bare: number[] }> {
  const cookie = await enter(box);
  const pages = (await pagesOf(box)).map((p): Weighed => ({ ...p, times: [], bytes: 0, gzip: 0, nodes: 0 }));
  const bare: number[] = [];
  const random = seeded(ctx.seed);
  for (let i = 0; i < VIEWS && !ctx.signal.aborted; i++) {
    ctx.progress.update("views", `${i + 1} of ${VIEWS}`);
    const order = pages.map((page) => ({ page, at: random() })).sort((a, b) => a.at - b.at);
    for (const { page } of order) {
      const began = performance.now();
      const res = await fetch(box.rt.url + page.path, { headers: { cookie, connection: "close" } });
      const html = await res.text();
      page.times.push(performance.now() - began);
      if (res.status !== 200 || !html.includes(page.has) || html.includes("store error <code>"))
        throw new Error(`${page.path} answered ${res.status} without "${page.has}".`);
      page.bytes = Buffer.byteLength(html);
      page.gzip = gzipSync(html).length;
      page.nodes = html.match(/<[a-z]/gi)?.length ?? 0;
    }
    const began = performance.now();
    await (await fetch(`${box.rt.url}/healthz`, { headers: { connection: "close" } })).text();
    bare.push(performance.now() - began);
  }
  return { pages, bare };
}

const m = (
  name: string,
  label: string,
  value: number,
  unit: string,
  goal: number | null,
  compare: Measure["compare"],
  beside: string | null = null,
): Measure => ({ name: `pages.${name}`, label, value, unit, goal, compare, beside });

function figures(p: Weighed, bare: number): Measure[] {
  const beside = `${quantile(p.times, 0.5).toFixed(0)} ms median; /healthz ${bare.toFixed(1)} ms`;
  const weight = `${(p.bytes / 1024).toFixed(0)} KiB plain, ${p.nodes.toLocaleString("en")} nodes`;
  return [
    m(`${p.name}_p95`, `${p.label}, server p95`, quantile(p.times, 0.95), "ms", SERVER_MS, "<", beside),
    m(`${p.name}_html`, `${p.label}, HTML gzip`, p.gzip / 1024, "KiB", HTML_KIB, "<=", weight),
    m(`${p.name}_nodes`, `${p.label}, nodes`, p.nodes, "", null, "<="),
  ];
}

async function run(ctx: RunContext): Promise<RunResult> {
  const seen = nothingSeen();
  const service = await startService();
  const box = await openSandbox({ onLog: (e) => note(seen, e) });
  try {
    ctx.progress.update("set up", `${TARGETS} targets`);
    await addTargets(box, service);
    await minute(box, seen, nextMinute());
    await fall(ctx, box, service, seen);
    ctx.progress.update("history", "14 days");
    await history(box);
    const audit = await auditPast(box);
    const { pages, bare } = await views(ctx, box);
    return {
      title: `pages over ${TARGETS.toLocaleString("en")} targets and 14 days`,
      note: `${VIEWS} views of each in turns; ${audit.toLocaleString("en")} audit rows, ${DOWN} open incidents`,
      measures: pages.flatMap((p) => figures(p, quantile(bare, 0.5))),
    };
  } finally {
    await box.close();
    await service.close();
  }
}

export const runner: Runner = {
  name: "pages",
  what: "overview, target, incident and audit search over 1,000 targets and 14 days: server p95, bytes, nodes; 3 min",
  run,
};
