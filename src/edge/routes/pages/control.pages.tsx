import { switchboard } from "../../../../durable-objects/switchboard.do";
import { HOUR } from "../../../kernel/clock";
import { readVar, truthy, VENDORS } from "../../../kernel/config";
import { notFound } from "../../../kernel/errors";
import {
  AuditPage,
  EnvelopePage,
  type EnvelopeRow,
  ListenersPage,
  MODES,
  parseChips,
  SwitchboardPage,
  searchAudit,
} from "../../../operator";
import { envelopeOf, isEnvelopeEnabled, type Switches, type SwitchPatch } from "../../../watch";
import { changeSwitches } from "../../acts";
import { fitness } from "../../fitness";
import { runtime } from "../../kit";
import { act, done, OPERATOR, type PageCtx, pageApp, part, show, vars } from "./visit";

/** `/switchboard`, `/listeners` and `/audit`. */
export const controlPages = pageApp();

function envelopeRows(c: PageCtx, s: Switches): EnvelopeRow[] {
  const set = Object.fromEntries(Object.entries(s.envelopes).map(([k, v]) => [k, v.enabled]));
  return VENDORS.map((probe) => {
    const { fix_name, in_scope, out_of_scope } = envelopeOf(probe);
    const name = `REVEILLE_AUTOFIX_${probe.toUpperCase()}_ENABLED`;
    const text = readVar(vars(c), name);
    return {
      probe,
      fix_name,
      in_scope,
      out_of_scope,
      set: set[probe] ?? null,
      enabled: isEnvelopeEnabled(probe, vars(c), { killed: s.killed, envelopes: set }),
      mode: s.envelopes[probe]?.mode ?? "dry_run",
      forced_off: text !== "" && !truthy(text) ? name : null,
    };
  });
}

controlPages.get("/switchboard", async (c) => {
  const s = await switchboard(c.env.SWITCHBOARD).readOrStop();
  const data = { ...s, unreadable: s.unreadable === true, envelopes: envelopeRows(c, s) };
  return show(c, "Switchboard", () => <SwitchboardPage ctx={c.get("visit").ctx} data={data} />);
});

controlPages.get("/switchboard/envelope/:probe", async (c) => {
  const s = await switchboard(c.env.SWITCHBOARD).readOrStop();
  const row = envelopeRows(c, s).find((e) => e.probe === c.req.param("probe") && e.fix_name !== "(none)");
  if (!row) return c.redirect("/switchboard", 303);
  const mode = MODES.find((m) => m === c.req.query("mode")) ?? "dry_run";
  return show(c, `Envelope ${row.probe}`, () => <EnvelopePage ctx={c.get("visit").ctx} e={row} mode={mode} />);
});

const IN_MODE = { dry_run: "as a dry run", approve: "and asks before each fix", auto: "and runs by itself" };

/** What a press on a switch changes, in words, and what takes it back. */
function patchOf(name: string, on: boolean, now: number, asked: string): { patch: SwitchPatch; text: string } {
  switch (name) {
    case "paused":
      return { patch: { paused: on }, text: on ? "Wakes are paused." : "Wakes run again." };
    case "killed":
      return {
        patch: { killed: on },
        text: on ? "Autofix is killed." : "Autofix is allowed again, where an envelope is on.",
      };
    case "muted":
      return {
        patch: { muted_until: on ? now + HOUR : null },
        text: on ? "Muted for 1 h: notices go to the inbox only." : "Notices are pushed again.",
      };
    default: {
      const probe = VENDORS.find((v) => name === `envelope.${v}`);
      if (!probe || envelopeOf(probe).fix_name === "(none)") throw notFound("switch", name);
      const mode = MODES.find((m) => m === asked) ?? "dry_run";
      const change = on ? { enabled: true, mode } : { enabled: false };
      return {
        patch: { envelopes: { [probe]: change } },
        text: on ? `The envelope of ${probe} is on, ${IN_MODE[mode]}.` : `The envelope of ${probe} is off.`,
      };
    }
  }
}

/** Only our own pages are gone back to. */
const localPath = (text: string | undefined, fallback: string): string =>
  text && /^\/(?![/\\])[\x21-\x7e]{0,300}$/.test(text) ? text : fallback;

controlPages.post("/switchboard", (c) =>
  act(c, "/switchboard", async (f) => {
    const name = f["switch"] ?? "";
    const on = f["on"] === "1";
    const { patch, text } = patchOf(name, on, c.get("visit").ctx.now, f["mode"] ?? "");
    await changeSwitches(c.env, runtime(c), patch, OPERATOR);
    // Undo never turns an envelope on: that way leads over its own page.
    const undo =
      name.startsWith("envelope.") && !on
        ? undefined
        : { action: "/switchboard", fields: { switch: name, on: on ? "0" : "1" } };
    return done(c, localPath(f["back"], "/switchboard"), { text, undo });
  }),
);

controlPages.get("/listeners", async (c) => {
  const health = await part(c, "listeners", async () => {
    const { whole, readiness } = await fitness(c.env);
    return {
      overall: readiness.overall,
      ready: readiness.ready,
      fatal: readiness.fatal.map((s) => `${s.name}: ${s.error ?? "could not start"}`),
      listeners: whole.listeners,
    };
  });
  const heartbeat_url_set = readVar(vars(c), "REVEILLE_HEARTBEAT_URL") !== "";
  return show(c, "Listeners", () => <ListenersPage ctx={c.get("visit").ctx} data={{ health, heartbeat_url_set }} />);
});

const ROWS = 100;

controlPages.get("/audit", async (c) => {
  const chips = parseChips((c.req.query("q") ?? "").slice(0, 400));
  const asked = Number.parseInt(c.req.query("before") ?? "", 10);
  const { now } = c.get("visit").ctx;
  const page = await part(c, "audit rows", () =>
    searchAudit(c.env.DB, chips, Number.isFinite(asked) ? asked : null, ROWS, now),
  );
  return show(c, "Audit", () => <AuditPage ctx={c.get("visit").ctx} data={{ chips, page }} />);
});
