import { MINUTE } from "../../../kernel/clock";
import { ReveilleError } from "../../../kernel/errors";
import { type MaintenanceData, MaintenancePage, type WindowForm, zonedTime } from "../../../operator";
import {
  createWindow,
  endWindow,
  extendWindow,
  listWindows,
  type NewWindow,
  needsConfirm,
  nextOccurrences,
  reopenWindow,
  windowInput,
} from "../../../watch";
import { runtime } from "../../kit";
import { noteMaintenance } from "./acts";
import { act, done, type Fields, guarded, OPERATOR, type PageCtx, pageApp, part, problemText, show } from "./visit";

/** `/maintenance` and its acts. */
export const maintenancePages = pageApp();

const blank = (zone: string): WindowForm => ({
  targets: "",
  kind: "once",
  starts: "now",
  length: "1h",
  cron: "",
  zone,
  reason: "",
});

function formOf(f: Fields, zone: string): WindowForm {
  const b = blank(zone);
  const text = (name: keyof WindowForm): string => (f[name] ?? b[name]).trim();
  return {
    targets: text("targets"),
    kind: f["kind"] === "cron" ? "cron" : "once",
    starts: text("starts"),
    length: text("length"),
    cron: text("cron"),
    zone: text("zone") || "UTC",
    reason: text("reason"),
  };
}

const UNITS: Record<string, number> = { m: 1, h: 60, d: 1440 };

/** Milliseconds of "90m", "2h", "1d"; null when it is none of these. */
function lengthOf(text: string): number | null {
  const m = /^(\d{1,6})\s*([mhd])$/.exec(text);
  return m ? Number(m[1]) * UNITS[m[2]!]! * MINUTE : null;
}

const wrong = (field: string, message: string): ReveilleError =>
  new ReveilleError({ status: 400, code: "bad_window", message, field });

/** The typed form as a checked window. @throws ReveilleError 400 in the form's own words. */
function windowOf(f: WindowForm, now: number): NewWindow {
  const targets = f.targets === "*" ? ["*"] : f.targets.split(/[\s,]+/).filter(Boolean);
  const body: Record<string, unknown> = { targets, reason: f.reason, zone: f.zone };
  if (f.kind === "cron") Object.assign(body, { cron: f.cron, duration: f.length });
  else {
    const length = lengthOf(f.length);
    if (length === null) throw wrong("length", `Length is "${f.length}"; write it like 90m, 2h or 1d.`);
    const start = f.starts.toLowerCase() === "now" ? now : zonedTime(f.starts, f.zone);
    if (start === null) throw wrong("starts", `Start is "${f.starts}"; write "now" or a time like 2026-11-20 14:00.`);
    Object.assign(body, { starts_at: new Date(start).toISOString(), ends_at: new Date(start + length).toISOString() });
  }
  const read = windowInput.safeParse(body);
  if (read.success) return read.data;
  const issue = read.error.issues[0];
  throw wrong(issue?.path.map(String).join(".") ?? "", issue?.message ?? "This window can't be read.");
}

async function page(c: PageCtx, more: Partial<MaintenanceData> = {}): Promise<Response> {
  const { ctx } = c.get("visit");
  const windows = await part(c, "maintenance windows", () => listWindows(c.env.DB));
  const asked = c.req.query("target")?.slice(0, 63);
  const form = { ...blank(ctx.zone), ...(asked ? { targets: asked } : {}) };
  const data: MaintenanceData = { windows, form, problem: null, preview: null, ...more };
  return show(c, "Maintenance", () => <MaintenancePage ctx={ctx} data={data} />, more.problem ? 400 : 200);
}

maintenancePages.get("/maintenance", (c) => page(c));

/** First press: what it would silence. Second press (`save`): keeps it. */
maintenancePages.post("/maintenance", async (c) => {
  const fields = await guarded(c);
  if (fields instanceof Response) return fields;
  const { now, zone } = c.get("visit").ctx;
  const form = formOf(fields, zone);
  let window: NewWindow;
  try {
    window = windowOf(form, now);
  } catch (error) {
    if (!(error instanceof ReveilleError)) throw error;
    return page(c, { form, problem: problemText(error) });
  }
  const confirm = needsConfirm(window);
  const next = nextOccurrences(window, now, 3);
  if (next.length === 0) return page(c, { form, problem: "This window is over before it begins." });
  if (fields["save"] !== "1" || (confirm && fields["sure"] !== "1"))
    return page(c, { form, preview: { next, zone: window.zone, confirm, all: window.targets[0] === "*" } });
  return act(c, "/maintenance", async () => {
    const made = await createWindow(c.env.DB, window, OPERATOR, now);
    await noteMaintenance(c.env, runtime(c), OPERATOR, "maintenance planned", made.id);
    return done(c, "/maintenance", { text: "Planned.", undo: { action: `/maintenance/${made.id}/end`, fields: {} } });
  });
});

maintenancePages.post("/maintenance/:id/end", (c) =>
  act(c, "/maintenance", async () => {
    const w = await endWindow(c.env.DB, c.req.param("id"), c.get("visit").ctx.now);
    await noteMaintenance(c.env, runtime(c), OPERATOR, "maintenance ended", w.id);
    return done(c, "/maintenance", {
      text: "Ended: faults count again.",
      undo: { action: `/maintenance/${w.id}/reopen`, fields: {} },
    });
  }),
);

maintenancePages.post("/maintenance/:id/reopen", (c) =>
  act(c, "/maintenance", async () => {
    const w = await reopenWindow(c.env.DB, c.req.param("id"));
    await noteMaintenance(c.env, runtime(c), OPERATOR, "maintenance end taken back", w.id);
    return done(c, "/maintenance", { text: "The end was taken back." });
  }),
);

maintenancePages.post("/maintenance/:id/extend", (c) =>
  act(c, "/maintenance", async () => {
    const w = await extendWindow(c.env.DB, c.req.param("id"), OPERATOR, c.get("visit").ctx.now);
    await noteMaintenance(c.env, runtime(c), OPERATOR, "maintenance extended", w.id);
    return done(c, "/maintenance", { text: "Extended by 30 min." });
  }),
);
