import { auditStatement } from "../audit";
import { appVar } from "../kernel/config";
import { describe, ReveilleError } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import {
  ADAPTORS,
  type Check,
  type Checked,
  Holds,
  PLATFORMS,
  type PlatformName,
  SETUPS,
  type SendDeps,
  senderOf,
} from "../platform";
import { forgetIdentities } from "./ingest.identity";

/** Set-up help: what of a platform's app is set, asked of the platform itself, kept for pages and for the ingest (design §8). */

/** The app of the plain variables, as the documents name it in our URLs. */
export const FIRST_APP = "main";
const DEADLINE_MS = 15_000;
const APP_NAME = /^[A-Za-z0-9_-]{1,64}$/;

export interface PlatformView {
  platform: PlatformName;
  app: string;
  /** `unchecked`: never asked. */
  state: Checked["state"] | "unchecked";
  bot_id: string | null;
  username: string | null;
  checks: Check[];
  /** Reveille ms. */
  checked_at: number | null;
  /** What is to be entered at the platform. */
  webhooks: string[];
  /** The variable without which webhooks, or sending, do not work. */
  missing: string[];
}

interface Row {
  platform: PlatformName;
  app: string;
  bot_id: string | null;
  username: string | null;
  state: Checked["state"];
  detail: string;
  checked_at: number;
}

const webhookOf = (runtime: Runtime, platform: string, app: string): string =>
  `${runtime.config.publicUrl.replace(/\/+$/, "")}/webhooks/${platform}/${app}`;

const depsOf = (runtime: Runtime, app: string): SendDeps => ({
  runtime,
  app,
  deadline: runtime.clock.wall() + DEADLINE_MS,
  holds: new Holds(),
  broken: () => {},
});

function view(runtime: Runtime, platform: PlatformName, app: string, row: Row | undefined): PlatformView {
  const { vars } = runtime;
  const adaptor = ADAPTORS.find((a) => a.name === platform);
  const url = webhookOf(runtime, platform, app);
  const needed = [adaptor?.unset(vars, app), senderOf(platform)?.unset(vars, app)];
  return {
    platform,
    app,
    state: row?.state ?? "unchecked",
    bot_id: row?.bot_id ?? null,
    username: row?.username ?? null,
    checks: row ? (JSON.parse(row.detail) as Check[]) : [],
    checked_at: row?.checked_at ?? null,
    webhooks: (adaptor?.tails ?? []).map((tail) => (tail ? `${url}/${tail}` : url)),
    missing: [...new Set(needed.filter((n): n is string => typeof n === "string"))],
  };
}

/** Every platform's first app, and what else has variables of its own or was ever checked. */
export async function listPlatforms(db: D1Database, runtime: Runtime): Promise<PlatformView[]> {
  const { results } = await db.prepare("SELECT * FROM platform_app ORDER BY platform, app LIMIT 500").all<Row>();
  const own = Object.keys(runtime.vars).flatMap((key) => {
    const m = /^REVEILLE_([A-Z]+)_[A-Z_]*?__([A-Z0-9_]{1,64})$/.exec(key);
    const platform = m?.[1] === "TWILIO" ? "sms" : m?.[1]?.toLowerCase();
    return PLATFORMS.flatMap((p) => (p === platform ? [[p, m![2]!.toLowerCase()] as const] : []));
  });
  return PLATFORMS.flatMap((platform) => {
    const rows = results.filter((r) => r.platform === platform);
    const apps = [FIRST_APP, ...rows.map((r) => r.app), ...own.filter(([p]) => p === platform).map(([, app]) => app)];
    return [...new Set(apps)].map((app) =>
      view(
        runtime,
        platform,
        app,
        rows.find((r) => r.app === app),
      ),
    );
  });
}

/** Asks the platform and keeps what it says. An identity that was known is kept when the platform does not answer. */
export async function checkPlatform(
  db: D1Database,
  runtime: Runtime,
  platform: PlatformName,
  app: string,
): Promise<PlatformView> {
  if (!APP_NAME.test(app)) throw badApp();
  const { bot, state, checks } = await SETUPS[platform].check(depsOf(runtime, app), webhookOf(runtime, platform, app));
  const row = await db
    .prepare(
      `INSERT INTO platform_app (platform, app, bot_id, bot_ref, username, state, detail, checked_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (platform, app) DO UPDATE SET
         bot_id = COALESCE(excluded.bot_id, bot_id),
         bot_ref = IIF(excluded.bot_id IS NULL, bot_ref, excluded.bot_ref),
         username = IIF(excluded.bot_id IS NULL, username, excluded.username),
         state = excluded.state, detail = excluded.detail, checked_at = excluded.checked_at
       RETURNING *`,
    )
    .bind(
      platform,
      app,
      bot?.bot_id ?? null,
      bot?.bot_ref ?? null,
      bot?.username ?? null,
      state,
      runtime.redact.text(JSON.stringify(checks)),
      runtime.clock.now(),
    )
    .first<Row>();
  forgetIdentities(db);
  return view(runtime, platform, app, row ?? undefined);
}

/** Tells the platform its webhook or its commands, then checks. @throws ReveilleError 400 where that is done by hand, or refused */
export async function connectPlatform(
  db: D1Database,
  runtime: Runtime,
  platform: PlatformName,
  app: string,
  by: string,
): Promise<{ done: string; platform: PlatformView }> {
  if (!APP_NAME.test(app)) throw badApp();
  const { connect } = SETUPS[platform];
  if (!connect)
    throw new ReveilleError({
      status: 400,
      code: "by_hand",
      message: `${platform} is connected in its own console.`,
      hint: `See docs/platforms/${platform}.md; the webhook is ${webhookOf(runtime, platform, app)}.`,
    });
  const result = await connect(depsOf(runtime, app), webhookOf(runtime, platform, app));
  if (!result.success)
    throw new ReveilleError({
      status: 409,
      code: "platform_refused",
      message: runtime.redact.text(result.error ?? "refused"),
    });
  await auditStatement(db, {
    at: runtime.clock.now(),
    seam: "connector.changed",
    source: "api",
    details: { action: "platform.connected", platform, app, by, done: result.done },
  }).run();
  return { done: result.done ?? "", platform: await checkPlatform(db, runtime, platform, app) };
}

const badApp = (): ReveilleError =>
  new ReveilleError({
    status: 400,
    code: "invalid",
    field: "app",
    message: "An app's name has 1 to 64 of A-Z a-z 0-9 _ -.",
  });

/** Wall ms until which an app is not asked for again. */
const asked = new WeakMap<D1Database, Map<string, number>>();
const ASK_AGAIN_MS = 10 * 60_000;

/**
 * Telegram mentions us by a name that no update tells: asked for once, when the first update of an app comes before any check.
 * Resolves to nothing; what fails is tried again later.
 */
export async function learnName(db: D1Database, runtime: Runtime, platform: PlatformName, app: string): Promise<void> {
  if (platform !== "telegram" || !appVar(runtime.vars, "REVEILLE_TELEGRAM_BOT_TOKEN", app)) return;
  const now = runtime.clock.wall();
  const known = asked.get(db) ?? new Map<string, number>();
  asked.set(db, known);
  // Names of apps come from URLs.
  if ((known.get(app) ?? 0) > now || known.size > 500) return;
  known.set(app, now + ASK_AGAIN_MS);
  await checkPlatform(db, runtime, platform, app).catch((error) =>
    runtime.log("warn", "platform.check_failed", { platform, app, error: describe(error) }),
  );
}
