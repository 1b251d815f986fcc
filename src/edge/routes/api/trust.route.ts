import * as z from "zod";
import { hostAddress } from "../../../../durable-objects/host";
import { iso } from "../../../kernel/clock";
import { badRequest } from "../../../kernel/errors";
import {
  CLIENT_LEVELS,
  loadPolicy,
  type Person,
  readEntry,
  readPeople,
  readPromotions,
  readShare,
  readTrustProposals,
  savePolicy,
} from "../../../trust";
import { apiApp, type Ctx, idParam, json, listOf, operatorRoute, runtime } from "../../kit";
import { confirmProposal, dropProposal, operatorAct, revert, tryPolicy } from "../../trust-acts";

/** `/api/v1/trust*`: what `npm run trust` and scripts use. */

const personView = z
  .object({
    client_id: z.string(),
    level: z.enum(CLIENT_LEVELS),
    admin: z.boolean(),
    since: z.string().nullable(),
    via: z.string().nullable(),
    by: z.string().nullable(),
    last_seen: z.string().nullable(),
    requests_24h: z.number(),
    denied_24h: z.number(),
  })
  .meta({ id: "TrustClient" });
const view = (p: Person): z.infer<typeof personView> => ({ ...p, since: iso(p.since), last_seen: iso(p.last_seen) });

const levelView = z
  .object({ client_id: z.string(), level: z.string(), admin: z.boolean().optional(), message: z.string() })
  .meta({ id: "TrustLevel" });

const policyView = z
  .object({
    from: z.enum(["operator", "variable", "default"]),
    name: z.string().nullable(),
    hash: z.string().nullable(),
    grammar: z.string().nullable(),
    text: z.string(),
    error: z.string().nullable(),
    doors: z.object({ invite_code: z.boolean(), payment: z.number().nullable() }),
    version: z.number().nullable(),
    by: z.string().nullable(),
    at: z.string().nullable(),
  })
  .meta({ id: "TrustPolicy" });

async function policyOf(c: Ctx): Promise<z.infer<typeof policyView>> {
  const { policy, from, text, version, by, at } = await loadPolicy(c.env.DB, runtime(c));
  const source = { from, version, by, at };
  if ("error" in policy)
    return {
      ...source,
      ...{ text, name: null, hash: null, grammar: null, error: policy.error },
      doors: { invite_code: false, payment: null },
    };
  const doors = { invite_code: policy.doors.codes.length > 0, payment: policy.doors.price };
  const { name, hash, grammar } = policy;
  return { ...source, name, hash: hash.slice(0, 16), grammar, text: policy.text, error: null, doors };
}

const proposalView = z
  .object({
    id: z.string(),
    client_id: z.string(),
    action: z.enum(["promote", "block"]),
    level: z.enum(CLIENT_LEVELS),
    reason: z.string(),
    by: z.string(),
    created_at: z.string(),
    expires_at: z.string(),
  })
  .meta({ id: "TrustProposal" });

const promotionView = z.object({
  audit_id: z.number(),
  at: z.string(),
  target: z.string(),
  action: z.string(),
  actor: z.string(),
  from_level: z.string(),
  to_level: z.string(),
});

const overview = z
  .object({
    address: z.string().nullable(),
    policy: policyView,
    decisions_24h: z.number(),
    by_tier_two_24h: z.number(),
    proposals: z.array(proposalView),
    promotions: z.array(promotionView),
  })
  .meta({ id: "Trust" });

const outcome = z
  .object({
    outcome: z.enum(["allow", "deny", "ask"]),
    rule: z.string(),
    reason: z.string(),
    by: z.string(),
    level: z.string(),
    changes: z.string().nullable(),
    onboard: z.object({ methods: z.array(z.string()), payment_amount: z.number().optional() }).nullable(),
  })
  .meta({ id: "TrustTest" });

const why = z.object({ reason: z.string().max(200).optional() });
const numberParam = z.object({ id: z.coerce.number().int().positive() });

const routes = apiApp()
  .openapi(
    operatorRoute("get", "/trust", "Policy, share decided by rules, and what waits", {}, overview),
    async (c) => {
      const rt = runtime(c);
      const now = rt.clock.now();
      const [address, policy, share, proposals, promotions] = await Promise.all([
        hostAddress(rt),
        policyOf(c),
        readShare(c.env.DB, now),
        readTrustProposals(c.env.DB, now),
        readPromotions(c.env.DB),
      ]);
      return c.json(
        {
          address,
          policy,
          decisions_24h: share.decisions,
          by_tier_two_24h: share.llm,
          proposals: proposals.map((p) => ({ ...p, created_at: iso(p.created_at), expires_at: iso(p.expires_at) })),
          promotions: promotions.map((p) => ({ ...p, at: iso(p.at) })),
        },
        200,
      );
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/trust/clients",
      "Everybody with a level, and strangers of the last 24 h",
      {
        query: z.object({
          level: z.enum(CLIENT_LEVELS).optional(),
          limit: z.coerce.number().int().min(1).max(500).default(100),
        }),
      },
      listOf(personView),
    ),
    async (c) => {
      const { level, limit } = c.req.valid("query");
      const people = await readPeople(c.env.DB, runtime(c).clock.now(), { level, limit });
      return c.json({ items: people.map(view), next_cursor: null }, 200);
    },
  )
  .openapi(
    operatorRoute("get", "/trust/clients/{id}", "The level of one client", { params: idParam }, levelView),
    async (c) => {
      const { id } = c.req.valid("param");
      return c.json(await operatorAct(c.env, runtime(c), "get_level", id, c.get("by")), 200);
    },
  )
  .openapi(
    operatorRoute("get", "/trust/policy", "The policy in force, with its source text", {}, policyView),
    async (c) => c.json(await policyOf(c), 200),
  )
  .openapi(
    operatorRoute(
      "put",
      "/trust/policy",
      "Puts a policy in force: a preset's name or a text; empty = the configured one",
      { body: json(z.object({ policy: z.string().max(32_768) })) },
      policyView,
    ),
    async (c) => {
      await savePolicy(c.env.DB, runtime(c), c.req.valid("json").policy, c.get("by"));
      return c.json(await policyOf(c), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/trust/test",
      "What the rules would say; nothing is changed and no model is asked",
      {
        body: json(
          z.object({
            client_id: z.string().max(100),
            level: z.enum(CLIENT_LEVELS).optional(),
            invite_code: z.string().max(200).optional(),
            payment: z.enum(["proven", "unproven"]).optional(),
            policy: z.string().max(32_768).optional(),
          }),
        ),
      },
      outcome,
    ),
    async (c) => c.json(await tryPolicy(c.env, runtime(c), c.req.valid("json")), 200),
  )
  .openapi(
    operatorRoute(
      "post",
      "/trust/proposals/{id}/confirm",
      "Does what a proposal suggests",
      { params: idParam },
      levelView,
    ),
    async (c) => c.json(await confirmProposal(c.env, runtime(c), c.req.valid("param").id, c.get("by")), 200),
  )
  .openapi(
    operatorRoute(
      "post",
      "/trust/proposals/{id}/reject",
      "Drops a proposal",
      { params: idParam },
      z.object({ rejected: z.boolean() }),
    ),
    async (c) => {
      await dropProposal(c.env, runtime(c), c.req.valid("param").id, c.get("by"));
      return c.json({ rejected: true }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/trust/revert/{id}",
      "Takes a promotion back by its audit row",
      { params: numberParam },
      levelView,
    ),
    async (c) => c.json(await revert(c.env, runtime(c), c.req.valid("param").id, c.get("by")), 200),
  );

for (const action of ["promote", "demote", "block", "unblock"] as const)
  routes.openapi(
    operatorRoute(
      "post",
      `/trust/clients/{id}/${action}`,
      `${action[0]!.toUpperCase()}${action.slice(1)}s a client`,
      { params: idParam, body: json(why, false) },
      levelView,
    ),
    async (c) => {
      const reason = (c.req.valid("json") as { reason?: string } | undefined)?.reason;
      const { id } = c.req.valid("param");
      return c.json(await operatorAct(c.env, runtime(c), action, id, c.get("by"), reason), 200);
    },
  );

for (const [method, action] of [
  ["put", "add_admin"],
  ["delete", "remove_admin"],
] as const)
  routes.openapi(
    operatorRoute(
      method,
      "/trust/admins/{id}",
      method === "put" ? "Makes a client an admin" : "Takes the admin mark away",
      { params: idParam },
      levelView,
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      if (!readEntry(id)) throw badRequest("bad_client", "An admin is an address: 0x and 64 hex digits.", "id");
      return c.json(await operatorAct(c.env, runtime(c), action, id, c.get("by")), 200);
    },
  );

export const trustApiRoutes = routes;
