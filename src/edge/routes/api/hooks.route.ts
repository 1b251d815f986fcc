import * as z from "zod";
import { type Hook, hookSettings, listHooks, live, mustReadHook, newHook, secretSchema } from "../../../hooks";
import { iso, SECOND } from "../../../kernel/clock";
import type { Runtime } from "../../../kernel/runtime";
import { changeHook, createHook, dropHook, rotateHook } from "../../hook-acts";
import { apiApp, idParam, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

const hookView = z
  .object({
    ...hookSettings.shape,
    id: z.string(),
    url: z.string(),
    secrets: z.array(z.object({ created_at: z.string(), retire_at: z.string().nullable() })),
    has_slo_key: z.boolean(),
    created_at: z.string(),
    updated_at: z.string(),
    trigger_count: z.number(),
    last_triggered_at: z.string().nullable(),
    last_status: z.string().nullable(),
    last_error: z.string().nullable(),
  })
  .meta({ id: "Hook" });
const told = hookView.extend({ secret: z.string().nullable() }).meta({ id: "HookWithSecret" });

/** A hook without a word of its secrets. */
function view(hook: Hook, { config, clock }: Runtime): z.infer<typeof hookView> {
  const { secrets, sealed_slo_key, created_at, updated_at, last_triggered_at, ...rest } = hook;
  return {
    ...rest,
    url: `${config.publicUrl}/hooks/${hook.id}`,
    secrets: live(secrets, clock.now()).map((s) => ({ created_at: iso(s.created_at), retire_at: iso(s.retire_at) })),
    has_slo_key: sealed_slo_key !== null,
    created_at: iso(created_at),
    updated_at: iso(updated_at),
    last_triggered_at: iso(last_triggered_at),
  };
}

const patchBody = z.record(z.string(), z.unknown());
const rotation = z.strictObject({
  grace_s: z
    .int()
    .min(0)
    .max(7 * 86_400)
    .default(3_600),
  secret: secretSchema.optional(),
});

/** Wake hooks: who may wake which agent, and with what secret. */
export const hookApiRoutes = apiApp()
  .openapi(operatorRoute("get", "/hooks", "Lists wake hooks", { query: pageQuery }, listOf(hookView)), async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const found = await listHooks(c.env.DB, cursor ?? "", limit + 1);
    const items = found.slice(0, limit);
    return c.json(
      {
        items: items.map((h) => view(h, runtime(c))),
        next_cursor: found.length > limit ? items.at(-1)!.id : null,
      },
      200,
    );
  })
  .openapi(
    operatorRoute(
      "post",
      "/hooks",
      "Makes a wake hook; its secret is told this once",
      { body: json(newHook) },
      told,
      201,
    ),
    async (c) => {
      const { hook, secret } = await createHook(c.env, runtime(c), c.req.valid("json"), c.get("by"));
      return c.json({ ...view(hook, runtime(c)), secret }, 201);
    },
  )
  .openapi(operatorRoute("get", "/hooks/{id}", "One wake hook", { params: idParam }, hookView), async (c) =>
    c.json(view(await mustReadHook(c.env.DB, c.req.valid("param").id), runtime(c)), 200),
  )
  .openapi(
    operatorRoute(
      "patch",
      "/hooks/{id}",
      "Changes a wake hook; what is left out stays as it is",
      { params: idParam, body: json(patchBody) },
      hookView,
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      return c.json(view(await changeHook(c.env, runtime(c), id, c.req.valid("json"), c.get("by")), runtime(c)), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/hooks/{id}/rotate",
      "A new secret, told this once; the one before lets in for grace_s seconds more (default 3600)",
      { params: idParam, body: json(rotation, false) },
      told,
    ),
    async (c) => {
      const { grace_s = 3_600, secret: given } = c.req.valid("json") ?? {};
      const { id } = c.req.valid("param");
      const ask = { grace: grace_s * SECOND, secret: given };
      const { hook, secret } = await rotateHook(c.env, runtime(c), id, ask, c.get("by"));
      return c.json({ ...view(hook, runtime(c)), secret }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "delete",
      "/hooks/{id}",
      "Removes a wake hook at once",
      { params: idParam },
      z.object({ deleted: z.string() }),
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      await dropHook(c.env, runtime(c), id, c.get("by"));
      return c.json({ deleted: id }, 200);
    },
  );
