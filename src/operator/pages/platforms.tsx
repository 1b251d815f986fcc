import type { FC } from "hono/jsx";
import { SAMPLE_APP } from "../../kernel/config";
import { count } from "../../kernel/format";
import { Act, Chip, Section, Snippet, Time } from "../components";
import type { PageContext, Part } from "../context";
import type { State } from "../state";

/** Platforms: can each reach us, and be reached? */

export interface PlatformLine {
  platform: string;
  app: string;
  state: "ok" | "unset" | "refused" | "unreachable" | "unchecked";
  bot_id: string | null;
  username: string | null;
  checks: { check: string; ok: boolean; detail: string }[];
  checked_at: number | null;
  webhooks: string[];
  missing: string[];
}

export interface PlatformsData {
  lines: Part<PlatformLine[]>;
  /** By `platform/app`: when the newest stored event came. */
  last: Part<Record<string, number>>;
  /** Of the last 24 h, by platform: what was not stored, and why. */
  counts: Part<{ platform: string; outcome: string; n: number }[]>;
}

const LOOK: Record<PlatformLine["state"], [State, string]> = {
  ok: ["ok", "Ready"],
  unset: ["unknown", "Not set up"],
  refused: ["down", "Refused"],
  unreachable: ["degraded", "Unreachable"],
  unchecked: ["unknown", "Not checked"],
};

const NAMES: Record<string, string> = {
  slack: "Slack",
  discord: "Discord",
  telegram: "Telegram",
  whatsapp: "WhatsApp",
  sms: "SMS (Twilio)",
};

/** What its set-up may do by itself; the others are connected in their own consoles. */
const BY_ITSELF: Record<string, string> = { telegram: "Set the webhook", discord: "Register commands" };

const Card: FC<{ ctx: PageContext; p: PlatformLine; data: PlatformsData }> = ({ ctx, p, data }) => {
  const [state, word] = LOOK[p.state];
  const id = `${p.platform}-${p.app}`;
  const last = data.last.ok ? data.last.value[`${p.platform}/${p.app}`] : undefined;
  const counts = data.counts.ok ? data.counts.value.filter((x) => x.platform === p.platform) : [];
  const bad = p.checks.filter((x) => !x.ok);
  return (
    <li class="card">
      <h2>
        {NAMES[p.platform] ?? p.platform}
        {p.app !== "main" && ` · ${p.app}`} <Chip state={state} word={word} />
      </h2>
      <p class="sub">
        {p.username ?? p.bot_id ?? "No bot known"}
        {p.checked_at !== null && (
          <>
            , checked <Time ctx={ctx} at={p.checked_at} />
          </>
        )}
        . {last === undefined ? "No event stored lately." : "Last event "}
        {last !== undefined && <Time ctx={ctx} at={last} />}
      </p>
      {p.missing.length > 0 && (
        <p>
          Not set:{" "}
          {p.missing.map((name) => (
            <>
              <code>{name}</code>{" "}
            </>
          ))}
          <span class="sub">
            (<code>npx wrangler secret put {p.missing[0]}</code>, locally a line in <code>.dev.vars</code>)
          </span>
        </p>
      )}
      {bad.length > 0 && p.state !== "unset" && (
        <ul>
          {bad.map((x) => (
            <li>
              <b>✕ {x.check}</b> {x.detail}
            </li>
          ))}
        </ul>
      )}
      {p.checks.length > bad.length && (
        <p class="sub">
          ✓{" "}
          {p.checks
            .filter((x) => x.ok)
            .map((x) => x.check)
            .join(", ")}
        </p>
      )}
      <Snippet id={id} text={p.webhooks.join("\n")} label="Webhook to enter there" />
      {p.app === "main" && counts.length > 0 && (
        <details id={`n-${id}`}>
          <summary>{count(counts.reduce((sum, x) => sum + x.n, 0))} not stored in 24 h</summary>
          <ul>
            {counts.map((x) => (
              <li>
                {x.outcome}: <span class="num">{count(x.n)}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
      <div class="acts">
        <Act ctx={ctx} action={`/platforms/${p.platform}/check`} label="Check now" fields={{ app: p.app }} />
        {BY_ITSELF[p.platform] && p.missing.length === 0 && p.app !== SAMPLE_APP && (
          <Act
            ctx={ctx}
            action={`/platforms/${p.platform}/connect`}
            label={BY_ITSELF[p.platform]!}
            fields={{ app: p.app }}
          />
        )}
        <span class="sub">
          <code>docs/platforms/{p.platform}.md</code>
        </span>
      </div>
    </li>
  );
};

const headline = (lines: PlatformLine[]): string => {
  const real = lines.filter((p) => p.app !== SAMPLE_APP);
  const ready = real.filter((p) => p.state === "ok").length;
  const broken = real.filter((p) => p.state === "refused" || p.state === "unreachable").length;
  if (broken > 0)
    return `${count(broken)} ${broken === 1 ? "platform does" : "platforms do"} not answer as they should.`;
  return ready > 0
    ? `${count(ready)} ${ready === 1 ? "platform is" : "platforms are"} ready.`
    : "No platform is set up yet.";
};

export const PlatformsPage: FC<{ ctx: PageContext; data: PlatformsData }> = ({ ctx, data }) => (
  <>
    <div class="head">
      <div>
        <h1>{data.lines.ok ? headline(data.lines.value) : "Platforms"}</h1>
        <p class="lead">
          A platform must reach this address: deploy, or use a tunnel. Without an account:{" "}
          <code>npm run send -- slack message</code>
        </p>
      </div>
    </div>
    <Section ctx={ctx} part={data.lines} id="platforms">
      {(lines) => {
        const sample = lines.filter((p) => p.app === SAMPLE_APP);
        return (
          <>
            <ul class="cards">
              {lines
                .filter((p) => p.app !== SAMPLE_APP)
                .map((p) => (
                  <Card ctx={ctx} p={p} data={data} />
                ))}
            </ul>
            {sample.length > 0 && (
              <details id="samples">
                <summary>The app of samples (npm run send): its platform is a stand-in on this machine</summary>
                <ul class="cards">
                  {sample.map((p) => (
                    <Card ctx={ctx} p={p} data={data} />
                  ))}
                </ul>
              </details>
            )}
          </>
        );
      }}
    </Section>
  </>
);
