import { workspaceObject } from "../../../../durable-objects/workspace.stub";
import { HMAC_DEFAULTS, type HmacConfig, type Hook, listHooks, newHook, readHook } from "../../../hooks";
import { HOUR } from "../../../kernel/clock";
import { badRequest, describe } from "../../../kernel/errors";
import { listMsgAgents, listWorkspaces, newAgentSchema, readMsgAgent } from "../../../messaging";
import { plain } from "../../../notify";
import { agentPath, ConfirmPage, HooksPage, MessagingPage, OncePage } from "../../../operator";
import { schemaError } from "../../../watch";
import { changeHook, createHook, dropHook, rotateHook } from "../../hook-acts";
import { runtime } from "../../kit";
import { activateAgent, createAgent, rotateAgent, type Told } from "../../messaging-acts";
import { missing } from "./target.pages";
import { act, done, type Fields, OPERATOR, type PageCtx, pageApp, part, show } from "./visit";

/** `/messaging` and `/messaging/hooks`, with their acts. */
export const messagingPages = pageApp();

const ROWS = 100;
/** Workspaces whose objects are asked for one page. */
const ASKED = 30;
/** How long the key or secret before lets in. */
const GRACE = HOUR;
const AGENTS = "/messaging";
const HOOKS = "/messaging/hooks";

/** A page of rows by id, and where the next begins. */
async function paged<T extends { id: string }>(read: (limit: number) => Promise<T[]>) {
  const found = await read(ROWS + 1);
  const items = found.slice(0, ROWS);
  return { items, next: found.length > ROWS ? items.at(-1)!.id : null };
}
const after = (c: PageCtx): string => c.req.query("after")?.slice(0, 100) ?? "";

/** The page of a secret; never kept, so a reload shows it no more. */
const once = (c: PageCtx, title: string, text: string, snippet: string, back: string): Promise<Response> =>
  show(c, title, () => <OncePage title={title} text={text} snippet={snippet} label="Copy it now" back={back} />);

messagingPages.get(AGENTS, async (c) => {
  const { ctx } = c.get("visit");
  const [workspaces, agents] = await Promise.all([
    part(c, "the workspaces", async () =>
      Promise.all(
        (await listWorkspaces(c.env.DB)).map(async (w, i) => ({
          ...w,
          counts: i < ASKED ? await countsOf(c, w.id) : null,
        })),
      ),
    ),
    part(c, "the agents", () => paged((limit) => listMsgAgents(c.env.DB, { after: after(c), limit }))),
  ]);
  return show(c, "Messaging", () => <MessagingPage ctx={ctx} data={{ workspaces, agents }} />);
});

/** Null when its object does not answer: the list is shown without it. */
const countsOf = (c: PageCtx, workspace: string) =>
  workspaceObject(c.env.WORKSPACE, workspace)
    .counts()
    .catch((error: unknown) => {
      runtime(c).log("warn", "page.object_silent", { workspace, error: describe(error) });
      return null;
    });

function keyPage(c: PageCtx, title: string, { key, wake_secret }: Told): Promise<Response> {
  const headers = { Authorization: `Bearer ${key}` };
  const server = { type: "http", url: `${runtime(c).config.publicUrl}/mcp`, headers };
  const config = JSON.stringify({ mcpServers: { reveille: server } }, null, 2);
  const secret = wake_secret === null ? "" : `\n\nWake secret: ${wake_secret}`;
  return once(
    c,
    title,
    "The key is shown this once. These lines connect the agent's MCP client.",
    config + secret,
    AGENTS,
  );
}

messagingPages.post("/messaging/agents", (c) =>
  act(c, AGENTS, async (f) => {
    const { name, workspace, wake_url: url, wake_auth: auth, wake_secret: secret } = trimmed(f);
    const ask = { name, workspace, wake: url === undefined ? null : { url, auth, secret } };
    const read = newAgentSchema.safeParse(ask);
    if (!read.success) throw schemaError(read.error, "agent", ask);
    return keyPage(c, `${plain(read.data.name)} was made`, await createAgent(c.env, runtime(c), read.data, OPERATOR));
  }),
);

/** Fields as an API caller would give them: an empty one is left out. */
const trimmed = (f: Fields): Partial<Fields> =>
  Object.fromEntries(Object.entries(f).flatMap(([k, v]) => (v.trim() === "" ? [] : [[k, v.trim()]])));

messagingPages.get("/messaging/agents/:id/deactivate", async (c) => {
  const agent = await readMsgAgent(c.env.DB, c.req.param("id"));
  if (!agent) return missing(c, "agent", c.req.param("id"));
  return show(c, "Deactivate", () => (
    <ConfirmPage
      ctx={c.get("visit").ctx}
      title={`Deactivate ${plain(agent.name)}?`}
      text="Its keys are refused from the next call on, and it is no longer woken. Its messages stay; it can be activated again with its last key."
      action={`${agentPath(agent.id)}/deactivate`}
      label="Deactivate"
      back={AGENTS}
    />
  ));
});

messagingPages.post("/messaging/agents/:id/:verb{rotate|activate|deactivate}", (c) =>
  act(c, AGENTS, async () => {
    const { id, verb } = c.req.param();
    if (verb === "rotate") {
      const told = await rotateAgent(c.env, runtime(c), id, GRACE, OPERATOR);
      return keyPage(c, "New key; the one before works for 1 h", told);
    }
    const { name } = await activateAgent(c.env, runtime(c), id, verb === "activate", OPERATOR);
    return done(c, AGENTS, { text: `${plain(name)} is ${verb}d.` });
  }),
);

messagingPages.get(HOOKS, async (c) => {
  const { ctx } = c.get("visit");
  const hooks = await part(c, "the hooks", () => paged((limit) => listHooks(c.env.DB, after(c), limit)));
  return show(c, "Wake hooks", () => <HooksPage ctx={ctx} data={{ hooks }} />);
});

/** The recipient of a form: one field, read as its kind says. */
function recipientOf(kind: string | undefined, to: string): Record<string, string> {
  if (kind === "agent") return { kind, address: to.toLowerCase() };
  if (kind === "webhook") return { kind, url: to };
  if (kind !== "mail") return { kind: "builtin" };
  const [workspace = "", agent_id = ""] = to.split("/", 2);
  return { kind, workspace, agent_id };
}

/** How a sender uses a hook: with its secret in a header, or under a signature; one of another make than ours it knows itself. */
function tryIt(c: PageCtx, hook: Hook, secret: string): string {
  const lines = `URL=${runtime(c).config.publicUrl}/hooks/${hook.id}\nSECRET=${secret}`;
  const fields = Object.keys(hook.hmac) as (keyof HmacConfig)[];
  if (hook.auth_mode === "hmac" && fields.some((f) => hook.hmac[f] !== HMAC_DEFAULTS[f])) return lines;
  const { header, sig_prefix, algorithm } = HMAC_DEFAULTS;
  const proof =
    hook.auth_mode === "bearer"
      ? `"authorization: Bearer $SECRET"`
      : `"${header}: ${sig_prefix}$(printf %s "$BODY" | openssl dgst -${algorithm} -hmac "$SECRET" -r | cut -d' ' -f1)"`;
  const body = `BODY='{"text": "hello"}'`;
  return `${lines}\n${body}\n\ncurl "$URL" -H 'content-type: application/json' -d "$BODY" \\\n  -H ${proof}`;
}

const hookPage = (c: PageCtx, title: string, { hook, secret }: { hook: Hook; secret: string | null }) =>
  once(
    c,
    title,
    "The secret is shown this once. These lines send the hook a message.",
    tryIt(c, hook, secret ?? ""),
    HOOKS,
  );

messagingPages.post(HOOKS, (c) =>
  act(c, HOOKS, async (f) => {
    const { kind, to = "", ...rest } = trimmed(f);
    const ask = { ...rest, recipient: recipientOf(kind, to) };
    const read = newHook.safeParse(ask);
    if (!read.success) throw schemaError(read.error, "hook", ask);
    const made = await createHook(c.env, runtime(c), read.data, OPERATOR);
    return hookPage(c, `Hook ${made.hook.id} was made`, made);
  }),
);

messagingPages.get("/messaging/hooks/:id/delete", async (c) => {
  const hook = await readHook(c.env.DB, c.req.param("id"));
  if (!hook) return missing(c, "hook", c.req.param("id"));
  return show(c, "Delete", () => (
    <ConfirmPage
      ctx={c.get("visit").ctx}
      title={`Delete ${hook.id}?`}
      text="Its senders are refused from now on, and its secret is gone. Messages it took are still delivered. This can't be undone."
      action={`${HOOKS}/${hook.id}/delete`}
      name={hook.id}
      label="Delete"
      back={HOOKS}
    />
  ));
});

messagingPages.post("/messaging/hooks/:id/:verb{rotate|enable|disable|delete}", (c) =>
  act(c, HOOKS, async (f) => {
    const { id, verb } = c.req.param();
    const rt = runtime(c);
    if (verb === "rotate") {
      const made = await rotateHook(c.env, rt, id, { grace: GRACE }, OPERATOR);
      return hookPage(c, "New secret; the one before works for 1 h", made);
    }
    if (verb === "delete") {
      if ((f["typed"] ?? "").trim() !== id)
        throw badRequest("not_typed", `The id is “${id}”; nothing was done.`, "typed");
      await dropHook(c.env, rt, id, OPERATOR);
      return done(c, HOOKS, { text: `${id} is deleted.` });
    }
    await changeHook(c.env, rt, id, { enabled: verb === "enable" }, OPERATOR);
    const undo = verb === "disable" ? { action: `${HOOKS}/${id}/enable`, fields: {} } : undefined;
    return done(c, HOOKS, { text: `${id} is ${verb}d.`, undo });
  }),
);
