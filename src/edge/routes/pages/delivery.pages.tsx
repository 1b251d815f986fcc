import { gatewayObject } from "../../../../durable-objects/gateway.stub";
import { type DeliveryState, INSTANCE, type Replayed } from "../../../gateway";
import { all } from "../../../kernel/d1";
import { badRequest } from "../../../kernel/errors";
import { DeadPage, type DeadRow, DeliveriesPage, DeliveryPage, ProblemPage } from "../../../operator";
import { replayDeadLetter } from "../../acts";
import { readAllDeliveries, readDelivery, vaultOf } from "../../deliveries";
import { runtime } from "../../kit";
import { act, done, OPERATOR, type PageCtx, pageApp, part, show } from "./visit";

/** `/deliveries` and `/dead-letters`, with their replays. */
export const deliveryPages = pageApp();

const ROWS = 100;
const STATES: DeliveryState[] = ["received", "queued", "delivered", "dead"];

/** What a page's address asks for; texts that can't be ids count as absent. */
function asked(c: PageCtx) {
  const text = (name: string): string => (c.req.query(name) ?? "").slice(0, 200);
  const before = Number(text("before"));
  return {
    q: text("q"),
    state: (STATES.find((s) => s === text("state")) ?? "") as DeliveryState | "",
    tenant: text("tenant").slice(0, 64),
    instance: INSTANCE.test(text("instance")) ? text("instance") : "",
    before: Number.isSafeInteger(before) && before > 0 ? before : undefined,
  };
}

deliveryPages.get("/deliveries", async (c) => {
  const { before, ...query } = asked(c);
  const page = await part(c, "the deliveries", () =>
    readAllDeliveries(c.env, runtime(c), {
      q: query.q,
      state: query.state || undefined,
      tenant: query.tenant || undefined,
      instance: query.instance || undefined,
      before,
      limit: ROWS,
    }),
  );
  return show(c, "Deliveries", () => <DeliveriesPage ctx={c.get("visit").ctx} data={{ page, query }} />);
});

const AT = "/deliveries/:tenant/:instance/:seq{[0-9]{1,16}}";
const placeOf = (c: PageCtx) => ({ tenant: c.req.param("tenant") ?? "", instance: c.req.param("instance") ?? "" });

deliveryPages.get(AT, async (c) => {
  const to = placeOf(c);
  const d = await readDelivery(c.env, to, Number(c.req.param("seq")));
  if (!d) {
    const text = "There is no such event, or it is older than what is kept.";
    return show(c, "Not found", () => <ProblemPage title="Not found" text={text} back="/deliveries" />, 404);
  }
  const vault = await part(c, "the vault", () => vaultOf(c.env, to, d.platform, d.chat_id));
  return show(c, "Delivery", () => <DeliveryPage ctx={c.get("visit").ctx} d={d} vault={vault} />);
});

/** What a replay came to, in one line. */
function told({ replayed, skipped }: Replayed): { text: string; bad: boolean } {
  const left = skipped.length > 0 ? ` ${skipped.length} left out: ${skipped[0]!.why}.` : "";
  return { text: `${replayed.length} sent again.${left}`, bad: replayed.length === 0 && skipped.length > 0 };
}

deliveryPages.post(`${AT}/replay`, (c) => {
  const to = placeOf(c);
  const seq = Number(c.req.param("seq"));
  const page = `/deliveries/${encodeURIComponent(to.tenant)}/${encodeURIComponent(to.instance)}`;
  return act(c, `${page}/${seq}`, async (f) => {
    const result = await gatewayObject(c.env.GATEWAY, to).replay({
      seqs: [seq],
      override_dedupe: f["override"] === "1",
      by: OPERATOR,
    });
    return done(c, `${page}/${result.replayed[0]?.as ?? seq}`, told(result));
  });
});

const dead = (c: PageCtx, ask: { tenant: string; instance: string; before: number | undefined }) =>
  all<DeadRow>(
    c.env.DB.prepare(
      `SELECT id, kind, ref, reason, created_at, replayed_at, json_extract(p, '$.tenant') AS tenant,
         json_extract(p, '$.instance') AS instance, json_extract(p, '$.seq') AS seq
       FROM (SELECT *, IIF(kind = 'delivery', payload, '{}') AS p FROM dead_letter)
       WHERE (?1 = '' OR json_extract(p, '$.instance') = ?1) AND (?2 = '' OR json_extract(p, '$.tenant') = ?2) AND created_at < ?3
       ORDER BY created_at DESC, id LIMIT ?4`,
    ).bind(ask.instance, ask.tenant, ask.before ?? Number.MAX_SAFE_INTEGER, ROWS),
  );

deliveryPages.get("/dead-letters", async (c) => {
  const { tenant, instance, before } = asked(c);
  const [rows, groups] = await Promise.all([
    part(c, "the dead letters", () => dead(c, { tenant, instance, before })),
    part(c, "the reasons", () =>
      all<{ kind: string; reason: string; tenant: string | null; instance: string | null; n: number }>(
        c.env.DB.prepare(
          `SELECT kind, reason, json_extract(p, '$.tenant') AS tenant, json_extract(p, '$.instance') AS instance, COUNT(*) AS n
           FROM (SELECT kind, reason, IIF(kind = 'delivery', payload, '{}') AS p FROM dead_letter
             WHERE replayed_at IS NULL ORDER BY created_at DESC LIMIT 5000)
           WHERE (?1 = '' OR instance = ?1) GROUP BY 1, 2, 3, 4 ORDER BY n DESC LIMIT 50`,
        ).bind(instance),
      ),
    ),
  ]);
  const data = { rows, groups, limit: ROWS, query: { tenant, instance } };
  return show(c, "Dead letters", () => <DeadPage ctx={c.get("visit").ctx} data={data} />);
});

deliveryPages.post("/dead-letters/one", (c) =>
  act(c, "/dead-letters", async (f) => {
    await replayDeadLetter(c.env, runtime(c), f["id"] ?? "", OPERATOR);
    return done(c, "/dead-letters", { text: "It was sent again." });
  }),
);

/** A number of an event, or undefined when the field is empty. @throws ReveilleError 400. */
function numberOf(text: string | undefined, field: string): number | undefined {
  const given = (text ?? "").trim();
  if (given === "") return undefined;
  if (!/^\d{1,16}$/.test(given)) throw badRequest("bad_number", `"${given}" is no number of an event.`, field);
  return Number(given);
}

deliveryPages.post("/dead-letters/replay", (c) =>
  act(c, "/dead-letters", async (f) => {
    const { tenant = "", instance = "" } = f;
    const [from, to] = [numberOf(f["from"], "from"), numberOf(f["to"], "to")];
    const ranged = from !== undefined || to !== undefined;
    const result = await gatewayObject(c.env.GATEWAY, { tenant, instance }).replay({
      ...(ranged ? { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) } : { all: true }),
      override_dedupe: f["override"] === "1",
      by: OPERATOR,
    });
    return done(c, "/dead-letters", told(result));
  }),
);
