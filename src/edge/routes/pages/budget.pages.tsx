import { budgetObject } from "../../../../durable-objects/budget.do";
import { readListenerStates } from "../../../listeners";
import { BudgetPage } from "../../../operator";
import { monthStart, project, readCalls, readDays } from "../../../reason";
import { pageApp, part, show } from "./visit";

/** `/budget`. */
export const budgetPages = pageApp();

budgetPages.get("/budget", async (c) => {
  const { ctx } = c.get("visit");
  const [state, days, calls, listeners] = await Promise.all([
    part(c, "the budget", async () => {
      const now = await budgetObject(c.env.BUDGET).state(ctx.now);
      return { ...now, projection: project(now) };
    }),
    part(c, "the days", () => readDays(c.env.DB, monthStart(ctx.now))),
    part(c, "the calls", () => readCalls(c.env.DB, 50)),
    part(c, "the engine", () => readListenerStates(c.env.DB)),
  ]);
  const said = listeners.ok ? listeners.value.get("reasoning_engine") : undefined;
  const engine = said?.last_error ?? said?.note ?? null;
  return show(c, "Budget", () => <BudgetPage ctx={ctx} data={{ state, days, calls, engine }} />);
});
