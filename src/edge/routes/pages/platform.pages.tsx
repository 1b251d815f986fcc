import { DAY } from "../../../kernel/clock";
import { all } from "../../../kernel/d1";
import { badRequest } from "../../../kernel/errors";
import { PlatformsPage } from "../../../operator";
import { PLATFORMS, type PlatformName } from "../../../platform";
import { readAllDeliveries } from "../../deliveries";
import { runtime } from "../../kit";
import { checkPlatform, connectPlatform, FIRST_APP, listPlatforms } from "../../setup";
import { act, done, OPERATOR, pageApp, part, show } from "./visit";

/** `/platforms`, with its checks. */
export const platformPages = pageApp();

/** @throws ReveilleError 400 */
export const platformOf = (text: string | undefined): PlatformName => {
  const found = PLATFORMS.find((p) => p === text);
  if (!found) throw badRequest("bad_platform", `There is no platform "${text}".`, "platform");
  return found;
};

platformPages.get("/platforms", async (c) => {
  const rt = runtime(c);
  const { ctx } = c.get("visit");
  const [lines, last, counts] = await Promise.all([
    part(c, "the platforms", () => listPlatforms(c.env.DB, rt)),
    part(c, "the newest events", async () => {
      const { items } = await readAllDeliveries(c.env, rt, { limit: 200 });
      // Oldest first, so that the newest of each stays.
      return Object.fromEntries(items.reverse().map((d) => [`${d.platform}/${d.app}`, d.stored_at]));
    }),
    part(c, "the counts", () =>
      all<{ platform: string; outcome: string; n: number }>(
        c.env.DB.prepare(
          "SELECT platform, outcome, SUM(n) AS n FROM ingest_count WHERE hour >= ? GROUP BY platform, outcome ORDER BY n DESC",
        ).bind(ctx.now - DAY),
      ),
    ),
  ]);
  return show(c, "Platforms", () => <PlatformsPage ctx={ctx} data={{ lines, last, counts }} />);
});

platformPages.post("/platforms/:platform/:verb{check|connect}", (c) =>
  act(c, "/platforms", async (f) => {
    const platform = platformOf(c.req.param("platform"));
    const app = f["app"] || FIRST_APP;
    if (c.req.param("verb") === "connect") {
      const { done: text } = await connectPlatform(c.env.DB, runtime(c), platform, app, OPERATOR);
      return done(c, "/platforms", { text: `${text}.` });
    }
    const { state, checks } = await checkPlatform(c.env.DB, runtime(c), platform, app);
    const bad = checks.filter((x) => !x.ok);
    const text = bad.length === 0 ? "all is well" : bad.map((x) => `${x.check}: ${x.detail}`).join("; ");
    return done(c, "/platforms", { text: `${platform}: ${text}`.slice(0, 300), bad: state !== "ok" });
  }),
);
