import { switchboard } from "../../../../durable-objects/switchboard.do";
import { FIX_ACTION, fixableMachines, looksFor, modeOf, readFixViews } from "../../../reason";
import { flyConfig, type IncidentView, isEnvelopeEnabled, type Target } from "../../../watch";
import { answerQuestion, askForFix } from "../../fix";
import { runtime } from "../../kit";
import { act, done, OPERATOR, type PageCtx, pageApp, vars } from "./visit";

/** The fix box of an incident's page: what it shows, and its three forms. */
export const fixPages = pageApp();

/** What was asked for, and what a person may ask for; an unreadable switchboard reads as killed. */
export async function fixData(c: PageCtx, i: IncidentView, target: Target | null) {
  const { now } = c.get("visit").ctx;
  const [fixes, switches, looks] = await Promise.all([
    readFixViews(c.env.DB, { incident_id: i.id, limit: 10 }),
    switchboard(c.env.SWITCHBOARD).readOrStop(),
    looksFor(c.env.DB, i, target, now),
  ]);
  const envelopes = Object.fromEntries(Object.entries(switches.envelopes).map(([k, v]) => [k, v.enabled]));
  const config = target ? flyConfig.safeParse(target.config).data : undefined;
  const held = i.acked_at !== null || (i.snooze_until !== null && Date.parse(i.snooze_until) > now);
  return {
    fixes,
    fixable: config ? fixableMachines(looks, config.apps) : [],
    enabled: isEnvelopeEnabled(i.kind, vars(c), { killed: switches.killed, envelopes }),
    mode: modeOf(switches, i.kind),
    open: i.resolved_at === null && !held && !i.rehearsal,
  };
}

const at = (id: string): string => `/incidents/${encodeURIComponent(id)}`;

/** What the answer to "ask for a fix" says, by where the fix went. */
const ASKED: Record<string, string> = {
  planned: "Dry run: the exact request is kept below and was not sent.",
  waiting: "The question is asked, here and in the incident's thread. It ends in 15 minutes.",
  approved: "It runs now; the outcome is told here and in the thread.",
};

fixPages.post("/incidents/:id/fix", (c) => {
  const id = c.req.param("id");
  return act(c, at(id), async (f) => {
    const ask = { action: FIX_ACTION, target_id: f["target_id"] ?? "", reason: "asked for on the incident page" };
    const fix = await askForFix(c.env, runtime(c), id, ask, OPERATOR);
    return done(c, at(id), { text: ASKED[fix.state] ?? `The fix is ${fix.state}.` });
  });
});

for (const answer of ["approve", "deny"] as const)
  fixPages.post(`/incidents/:id/fix/${answer}`, (c) => {
    const id = c.req.param("id");
    return act(c, at(id), async (f) => {
      await answerQuestion(c.env, runtime(c), f["approval"] ?? "", answer, OPERATOR);
      return done(c, at(id), { text: answer === "approve" ? "Approved. Running…" : "Denied. Nothing was changed." });
    });
  });
