import * as z from "zod";
import { INSTANCE } from "../../../gateway";
import { iso } from "../../../kernel/clock";
import { notFound } from "../../../kernel/errors";
import { type Delivery, readAllDeliveries, readDelivery } from "../../deliveries";
import { apiApp, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

/** `/api/v1/deliveries`: the way of every event, from its webhook to the gateway's ack and its answer. */

const time = z.string().nullable();
const deliveryView = z
  .object({
    seq: z.number(),
    buffer_id: z.string(),
    tenant: z.string(),
    instance: z.string(),
    platform: z.string(),
    app: z.string(),
    chat_id: z.string(),
    user_id: z.string().nullable(),
    user_name: z.string().nullable(),
    message_type: z.string(),
    /** The first 200 characters. */
    text: z.string(),
    key: z.string(),
    state: z.enum(["received", "queued", "delivered", "dead"]),
    attempts: z.number(),
    verified_at: z.string(),
    stored_at: z.string(),
    sent_at: time,
    acked_at: time,
    /** When the platform took the first message that was sent to this chat afterwards. */
    answered_at: time,
    why: z.string().nullable(),
    replayed_as: z.number().nullable(),
  })
  .meta({ id: "Delivery" });

const shown = (d: Delivery): z.infer<typeof deliveryView> => ({
  ...d,
  verified_at: iso(d.verified_at),
  stored_at: iso(d.stored_at),
  sent_at: iso(d.sent_at),
  acked_at: iso(d.acked_at),
  answered_at: iso(d.answered_at),
});

const tenant = z.string().max(64).optional();
const query = pageQuery.extend({
  cursor: z
    .string()
    .regex(/^\d{1,16}$/)
    .optional(),
  tenant,
  instance: z.string().regex(INSTANCE).optional(),
  /** Found in ids, keys and texts, in any case. */
  q: z.string().max(200).optional(),
  state: z.enum(["received", "queued", "delivered", "dead"]).optional(),
});

export const deliveryRoutes = apiApp()
  .openapi(
    operatorRoute("get", "/deliveries", "Lists events on their way, newest first", { query }, listOf(deliveryView)),
    async (c) => {
      const { cursor, ...ask } = c.req.valid("query");
      const before = cursor === undefined ? undefined : Number(cursor);
      const found = await readAllDeliveries(c.env, runtime(c), { ...ask, before });
      return c.json(
        { items: found.items.map(shown), next_cursor: found.next === null ? null : String(found.next) },
        200,
      );
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/deliveries/{tenant}/{instance}/{seq}",
      "One event on its way",
      {
        params: z.object({
          tenant: z.string().max(64),
          instance: z.string().regex(INSTANCE),
          seq: z.coerce.number().int(),
        }),
      },
      deliveryView,
    ),
    async (c) => {
      const { tenant: t, instance, seq } = c.req.valid("param");
      const row = await readDelivery(c.env, { tenant: t, instance }, seq);
      if (!row) throw notFound("delivery", String(seq));
      return c.json(shown(row), 200);
    },
  );
