import * as z from "zod";
import { answerProposal, LOOPS, PROPOSAL_STATES, readProposals } from "../../../reason";
import { apiApp, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

const proposalView = z
  .object({
    key: z.string(),
    loop: z.enum(LOOPS),
    title: z.string(),
    state: z.enum(PROPOSAL_STATES),
    confidence: z.number(),
    cluster_size: z.number(),
    approval: z.string(),
    facts: z.record(z.string(), z.union([z.string(), z.number(), z.array(z.string())])),
    vocabulary: z.record(z.string(), z.unknown()),
    seen: z.number(),
    created_at: z.string(),
    updated_at: z.string(),
    expires_at: z.string().nullable(),
    decided_at: z.string().nullable(),
    decided_by: z.string().nullable(),
  })
  .meta({ id: "Proposal" });

const keyParam = z.object({ key: z.string().regex(/^[0-9a-f]{32}$/, "a proposal's key: 32 hex digits") });

/** What the promote loops propose, and an operator's answer. An approval adds vocabulary; nothing is switched on by it. */
export const proposalRoutes = apiApp()
  .openapi(
    operatorRoute(
      "get",
      "/proposals",
      "Lists proposals of the promote loops, the one seen last first",
      { query: pageQuery.extend({ state: z.enum(PROPOSAL_STATES).optional() }) },
      listOf(proposalView),
    ),
    async (c) => {
      const { limit, cursor, state } = c.req.valid("query");
      const items = await readProposals(c.env.DB, { state, before: cursor, limit }, runtime(c).clock.now());
      return c.json({ items, next_cursor: items.length === limit ? (items.at(-1)?.key ?? null) : null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/proposals/{key}/approve",
      "Approves a pending proposal, once: adds its words to the vocabulary, and nothing else",
      { params: keyParam },
      proposalView,
    ),
    async (c) =>
      c.json(await answerProposal(c.env.DB, runtime(c), c.req.valid("param").key, "approve", c.get("by")), 200),
  )
  .openapi(
    operatorRoute(
      "post",
      "/proposals/{key}/reject",
      "Rejects a pending proposal; its cluster stays quiet for 90 days",
      { params: keyParam },
      proposalView,
    ),
    async (c) =>
      c.json(await answerProposal(c.env.DB, runtime(c), c.req.valid("param").key, "reject", c.get("by")), 200),
  );
