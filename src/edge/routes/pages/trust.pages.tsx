import { hostAddress } from "../../../../durable-objects/host";
import { badRequest, ReveilleError } from "../../../kernel/errors";
import { AdminPage, type TrustData, TrustPage } from "../../../operator";
import {
  type AdminAction,
  CLIENT_LEVELS,
  loadPolicy,
  parsePolicy,
  readEntry,
  readPeople,
  readPromotions,
  readShare,
  readTrustProposals,
  savePolicy,
} from "../../../trust";
import { runtime } from "../../kit";
import { confirmProposal, dropProposal, operatorAct, revert, tryPolicy } from "../../trust-acts";
import { act, done, guarded, OPERATOR, type PageCtx, pageApp, part, problemText, show } from "./visit";

/** `/ui/trust` and its acts. */
export const trustPages = pageApp();

const ROWS = 200;

async function page(c: PageCtx, more: Partial<TrustData> = {}): Promise<Response> {
  const { ctx } = c.get("visit");
  const level = CLIENT_LEVELS.find((l) => l === c.req.query("level")) ?? null;
  const [address, policy, share, proposals, people, promotions] = await Promise.all([
    hostAddress(runtime(c)),
    part(c, "the policy", () => loadPolicy(c.env.DB, runtime(c))),
    part(c, "the share", () => readShare(c.env.DB, ctx.now)),
    part(c, "the proposals", () => readTrustProposals(c.env.DB, ctx.now)),
    part(c, "the clients", () => readPeople(c.env.DB, ctx.now, { level: level ?? undefined, limit: ROWS })),
    part(c, "the promotions", () => readPromotions(c.env.DB)),
  ]);
  const data: TrustData = {
    ...{ address, level, policy, share, proposals, people, promotions },
    ...{ test: null, draft: null, ...more },
  };
  const bad = Boolean(data.draft || data.test?.problem);
  return show(c, "Trust", () => <TrustPage ctx={ctx} data={data} />, bad ? 400 : 200);
}

trustPages.get("/ui/trust", (c) => page(c));

trustPages.get("/ui/trust/admin", async (c) => {
  const entry = readEntry((c.req.query("client") ?? "").slice(0, 100));
  if (!entry || entry.pattern) return c.redirect("/ui/trust", 303);
  const on = c.req.query("on") === "1";
  return show(c, "Admin", () => <AdminPage ctx={c.get("visit").ctx} client={entry.id} on={on} />);
});

const UNDO: Partial<Record<AdminAction, AdminAction>> = {
  promote: "demote",
  demote: "promote",
  block: "unblock",
  unblock: "block",
};
const ACTS: AdminAction[] = ["promote", "demote", "block", "unblock", "add_admin", "remove_admin"];

trustPages.post("/ui/trust/act", (c) =>
  act(c, "/ui/trust", async (f) => {
    const action = ACTS.find((a) => a === f["action"]);
    if (!action) throw badRequest("bad_action", "There is no such act.", "action");
    const result = await operatorAct(c.env, runtime(c), action, f["client"] ?? "", OPERATOR);
    const back = UNDO[action];
    const undo = back ? { action: "/ui/trust/act", fields: { action: back, client: result.client_id } } : undefined;
    return done(c, "/ui/trust", { text: `${result.message}.`, undo });
  }),
);

// Answered on either page; the reader stays on it.
for (const [path, back] of [
  ["/ui/trust/proposals/:id", "/ui/trust"],
  ["/inbox/trust/:id", "/inbox"],
] as const)
  trustPages.post(path, (c) =>
    act(c, back, async (f) => {
      const id = c.req.param("id");
      if (f["answer"] !== "confirm") {
        await dropProposal(c.env, runtime(c), id, OPERATOR);
        return done(c, back, { text: "Rejected: nothing was changed." });
      }
      const { message } = await confirmProposal(c.env, runtime(c), id, OPERATOR);
      return done(c, back, { text: `${message}.` });
    }),
  );

trustPages.post("/ui/trust/revert", (c) =>
  act(c, "/ui/trust", async (f) => {
    const { message } = await revert(c.env, runtime(c), Number(f["audit"]), OPERATOR);
    return done(c, "/ui/trust", { text: `${message}.` });
  }),
);

trustPages.post("/ui/trust/policy", async (c) => {
  const fields = await guarded(c);
  if (fields instanceof Response) return fields;
  const text = (fields["policy"] ?? "").replaceAll("\r\n", "\n");
  try {
    // Read before it is saved, so that a mistake comes back with the text in the form.
    if (text.trim() !== "") await parsePolicy(text, runtime(c).vars);
  } catch (error) {
    if (!(error instanceof ReveilleError)) throw error;
    return page(c, { draft: { text, problem: problemText(error) } });
  }
  return act(c, "/ui/trust#policy", async () => {
    const { policy } = await savePolicy(c.env.DB, runtime(c), text, OPERATOR);
    return done(c, "/ui/trust#policy", { text: `In force: ${"error" in policy ? "unreadable" : policy.name}.` });
  });
});

trustPages.post("/ui/trust/test", async (c) => {
  const fields = await guarded(c);
  if (fields instanceof Response) return fields;
  const { client = "", code = "" } = fields;
  const level = CLIENT_LEVELS.find((l) => l === fields["level"]);
  const payment = fields["payment"] === "proven" || fields["payment"] === "unproven" ? fields["payment"] : undefined;
  const kept = { client, level: level ?? "", payment: payment ?? "" };
  try {
    const result = await tryPolicy(c.env, runtime(c), { client_id: client, level, invite_code: code, payment });
    return page(c, { test: { fields: kept, result, problem: null } });
  } catch (error) {
    if (!(error instanceof ReveilleError)) throw error;
    return page(c, { test: { fields: kept, result: null, problem: problemText(error) } });
  }
});
