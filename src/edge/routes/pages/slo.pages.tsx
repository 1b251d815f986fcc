import { notFound } from "../../../kernel/errors";
import { SloPage } from "../../../operator";
import { runtime } from "../../kit";
import { switchDirection } from "../../slo-acts";
import { sloView } from "../../slo-view";
import { act, done, OPERATOR, pageApp, part, show } from "./visit";

/** `/slo` with its acts. */
export const sloPages = pageApp();

sloPages.get("/slo", async (c) => {
  const { ctx } = c.get("visit");
  const lines = await part(c, "the objectives", () => sloView(c.env.DB, ctx.now));
  const { publicUrl } = runtime(c).config;
  return show(c, "SLO", () => <SloPage ctx={ctx} lines={lines} public_url={publicUrl} />);
});

const SAID = { pause: "is paused: neither probed nor judged", resume: "is probed again", run: "runs within a minute" };

sloPages.post("/slo/:code/:verb{pause|resume|run}", (c) =>
  act(c, "/slo", async () => {
    const code = (["C2L", "L2C"] as const).find((d) => d === c.req.param("code"));
    if (!code) throw notFound("slo/direction", c.req.param("code"));
    const verb = c.req.param("verb") as keyof typeof SAID;
    await switchDirection(c.env, runtime(c), code, verb, OPERATOR);
    const undo = verb === "pause" ? { action: `/slo/${code}/resume`, fields: {} } : undefined;
    return done(c, "/slo", { text: `${code} ${SAID[verb]}.`, undo });
  }),
);
