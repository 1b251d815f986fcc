import {
  checkWakeUrl,
  createGateway,
  createLink,
  type Destination,
  deprovision,
  grantChannel,
  listBindings,
  listGateways,
  listGrants,
  listInstances,
  listPolicies,
  listTenants,
  type ManageDeps,
  type Principal,
  patchInstance,
  readGateway,
  readInstance,
  releaseChannel,
  revokeGateway,
  rotateSecret,
  setDmDefault,
  tenantOf,
  unbindAuthor,
} from "../../../gateway";
import { badRequest, notFound } from "../../../kernel/errors";
import {
  ConfirmPage,
  GatewaysPage,
  type InstanceLine,
  InstancePage,
  instancePath,
  OncePage,
  ProblemPage,
} from "../../../operator";
import { PLATFORMS } from "../../../platform";
import { dropOf, envLines, manageDeps } from "../../connector";
import { liveOf } from "../../deliveries";
import { type Ctx, runtime } from "../../kit";
import { platformOf } from "./platform.pages";
import { act, done, type Fields, OPERATOR, type PageCtx, pageApp, part, show } from "./visit";

/** `/gateways` and one instance, with their acts. */
export const connectorPages = pageApp();

/** Instances on one page. */
const ROWS = 100;

const deps = (c: PageCtx): ManageDeps => manageDeps(c as unknown as Ctx, OPERATOR);
const drop = (c: PageCtx) => dropOf(c as unknown as Ctx);

/** An instance with its gateways and how it is now. */
async function lineOf(c: PageCtx, to: Destination): Promise<InstanceLine | null> {
  const row = await readInstance(c.env.DB, to);
  if (!row) return null;
  const [gateways, live] = await Promise.all([
    listGateways(c.env.DB, { ...to, limit: ROWS }),
    liveOf(c.env, runtime(c), to),
  ]);
  return { row, live, gateways };
}

connectorPages.get("/gateways", async (c) => {
  const { ctx } = c.get("visit");
  const tenants = await listTenants(c.env.DB, "", 50);
  const lines = await part(c, "the gateways", async (): Promise<InstanceLine[]> => {
    const [rows, gateways] = await Promise.all([
      listInstances(c.env.DB, { limit: ROWS }),
      listGateways(c.env.DB, { limit: 1_000 }),
    ]);
    return Promise.all(
      rows.map(async (row) => ({
        row,
        live: await liveOf(c.env, runtime(c), row),
        gateways: gateways.filter((g) => g.tenant === row.tenant && g.instance === row.instance),
      })),
    );
  });
  const data = { lines, several: tenants.length > 1, tenants: tenants.map((t) => t.id) };
  return show(c, "Gateways", () => <GatewaysPage ctx={ctx} data={data} />);
});

connectorPages.post("/gateways", (c) =>
  act(c, "/gateways", async (f) => {
    const { id: tenant } = await tenantOf(deps(c), f["tenant"]?.trim() || undefined);
    const bot = f["bot_id"]?.trim() ?? "";
    const identities: [string, string][] | undefined =
      f["platform"] || bot ? (f["platform"] ? [platformOf(f["platform"])] : PLATFORMS).map((p) => [p, bot]) : undefined;
    const ask = {
      tenant,
      name: f["name"]?.trim() || undefined,
      instance: f["instance"]?.trim() || undefined,
      identities,
    };
    const { row, secret } = await createGateway(deps(c), ask);
    return once(c, `${f["name"]} was made`, envLines(runtime(c), row, secret), instancePath(row));
  }),
);

/** The page of a secret; never kept, so a reload shows it no more. */
const once = (c: PageCtx, title: string, snippet: string, back: string): Promise<Response> =>
  show(c, title, () => (
    <OncePage
      title={title}
      text="The secret is shown this once. Put these lines into the environment of your gateway and start it again."
      snippet={snippet}
      label="Environment of the gateway"
      back={back}
    />
  ));

const toOf = (c: PageCtx): Destination => ({
  tenant: c.req.param("tenant") ?? "",
  instance: c.req.param("instance") ?? "",
});

connectorPages.get("/gateways/:id", async (c) => {
  const row = await readGateway(c.env.DB, c.req.param("id"));
  return row ? c.redirect(instancePath(row), 303) : missing(c);
});

const missing = (c: PageCtx): Promise<Response> =>
  show(
    c,
    "Not found",
    () => <ProblemPage title="Not found" text="There is no such gateway or instance." back="/gateways" />,
    404,
  );

const AT = "/gateways/:tenant/:instance";

connectorPages.get(AT, async (c) => {
  const to = toOf(c);
  const { ctx } = c.get("visit");
  const line = await lineOf(c, to);
  if (!line) return missing(c);
  const [bindings, grants, policies] = await Promise.all([
    part(c, "the links", () => listBindings(c.env.DB, { ...to, limit: ROWS })),
    part(c, "the channels", () => listGrants(c.env.DB, { ...to, limit: ROWS })),
    part(c, "the rules", () => listPolicies(c.env.DB, to)),
  ]);
  return show(c, line.row.name, () => <InstancePage ctx={ctx} data={{ line, bindings, grants, policies }} />);
});

connectorPages.get(`${AT}/revoke`, async (c) => {
  const row = await readGateway(c.env.DB, c.req.query("id") ?? "");
  const to = toOf(c);
  if (!row || row.tenant !== to.tenant || row.instance !== to.instance) return missing(c);
  return show(c, "Revoke", () => (
    <ConfirmPage
      ctx={c.get("visit").ctx}
      title={`Revoke ${row.id}?`}
      text="Its secrets stop working at once and its sockets are closed. What waits for the instance stays. This can't be undone."
      action={`${instancePath(to)}/revoke`}
      fields={{ id: row.id }}
      label="Revoke"
      back={instancePath(to)}
    />
  ));
});

connectorPages.get(`${AT}/deprovision`, async (c) => {
  const to = toOf(c);
  const line = await lineOf(c, to);
  if (!line) return missing(c);
  const waits = line.live ? `${line.live.waiting} waiting events, ${line.live.dead} dead letters` : "what waits for it";
  return show(c, "Deprovision", () => (
    <ConfirmPage
      ctx={c.get("visit").ctx}
      title={`Deprovision ${line.row.name}?`}
      text={`Its people are unlinked, its channels released, its ${line.gateways.length} gateways revoked and closed, and ${waits} and the credentials of its chats purged. This can't be undone.`}
      action={`${instancePath(to)}/deprovision`}
      name={to.instance}
      label="Deprovision"
      back={instancePath(to)}
    />
  ));
});

/** The acts of an instance's page, each with the fields of its form. */
const ACTS: Record<string, (c: PageCtx, to: Destination, f: Fields) => Promise<string | Response>> = {
  rotate: async (c, to, f) => {
    const row = await ofInstance(c, to, f["id"]);
    const { secret } = await rotateSecret(deps(c), row.id);
    return once(c, "New secret; the one before works for 24 h", envLines(runtime(c), row, secret), instancePath(to));
  },
  revoke: async (c, to, f) => {
    const row = await ofInstance(c, to, f["id"]);
    await revokeGateway(deps(c), row.id, drop(c));
    return `${row.id} is revoked.`;
  },
  link: async (c, to, f) => {
    const { code } = await createLink(deps(c), to, f["platform"] ? platformOf(f["platform"]) : null);
    return show(c, "Link code", () => (
      <OncePage
        title="A link code, shown once"
        text="It works once, for ten minutes. The person sends this line to the bot in a direct message; in a shared channel the code is burnt."
        snippet={`/link ${code}`}
        label="Send to the bot"
        back={instancePath(to)}
      />
    ));
  },
  unlink: async (c, to, f) => {
    await unbindAuthor(deps(c), to, { platform: platformOf(f["platform"]), user_id: f["user_id"] ?? "" });
    return `${f["user_id"]} is unlinked.`;
  },
  dm: async (c, to, f) => {
    await setDmDefault(deps(c), to, { platform: platformOf(f["platform"]), user_id: f["user_id"] ?? "" });
    return `DMs of ${f["user_id"]} come here.`;
  },
  grant: async (c, to, f) => {
    const channel_id = (f["channel_id"] ?? "").trim();
    await grantChannel(deps(c), to, {
      platform: platformOf(f["platform"]),
      scope_id: (f["scope_id"] ?? "").trim(),
      channel_id,
    });
    return `${to.instance} holds ${channel_id}.`;
  },
  release: async (c, to, f) => {
    const { scope_id = "", channel_id = "" } = f;
    await releaseChannel(deps(c), to, { platform: platformOf(f["platform"]), scope_id, channel_id });
    return `${channel_id} is released.`;
  },
  policy: async (c, to, f) => {
    const principal = (["owner-only", "allow-list", "any"] as Principal[]).find((p) => p === f["principal"]);
    if (!principal) throw badRequest("bad_principal", "Choose who may talk to it.", "principal");
    const allow = (f["allow"] ?? "").split(/\s+/).filter(Boolean).slice(0, 1_000);
    const wake = (f["wake_url"] ?? "").trim();
    if (wake && wake !== "-") checkWakeUrl(wake, runtime(c).config.allowPrivate);
    await patchInstance(deps(c), to, { principal, allow, ...(wake ? { wake_url: wake === "-" ? null : wake } : {}) });
    return "Saved.";
  },
  deprovision: async (c, to, f) => {
    if ((f["typed"] ?? "").trim() !== to.instance)
      throw badRequest("not_typed", `The id is “${to.instance}”; nothing was done.`, "typed");
    await deprovision(deps(c), to, drop(c));
    return done(c, "/gateways", { text: `${to.instance} is deprovisioned.` });
  },
};

/** @throws ReveilleError 404 unless the gateway is this instance's. */
async function ofInstance(c: PageCtx, to: Destination, id: string | undefined) {
  const row = await readGateway(c.env.DB, id ?? "");
  if (!row || row.tenant !== to.tenant || row.instance !== to.instance) throw notFound("gateway", id ?? "");
  return row;
}

connectorPages.post(`${AT}/:verb`, (c) => {
  const to = toOf(c);
  return act(c, instancePath(to), async (f) => {
    const run = Object.hasOwn(ACTS, c.req.param("verb")) ? ACTS[c.req.param("verb")] : undefined;
    if (!run) throw notFound("act", c.req.param("verb"));
    if (!(await readInstance(c.env.DB, to))) throw notFound("instance", to.instance);
    const result = await run(c, to, f);
    return typeof result === "string" ? done(c, instancePath(to), { text: result }) : result;
  });
});
