import type { FC } from "hono/jsx";
import { Act, Guard, Time } from "../components";
import type { PageContext } from "../context";

export interface EnvelopeRow {
  probe: string;
  fix_name: string;
  in_scope: readonly string[];
  out_of_scope: readonly string[];
  /** The operator's switch, or null when it is not set. */
  set: boolean | null;
  /** What is in force, with everything else taken into account. */
  enabled: boolean;
  mode: string;
  /** The variable that forces it off, if one does. */
  forced_off: string | null;
}

export interface SwitchboardData {
  unreadable: boolean;
  paused: boolean;
  killed: boolean;
  muted_until: number | null;
  changes: Record<string, { at: number; by: string }>;
  envelopes: EnvelopeRow[];
}

const Changed: FC<{ ctx: PageContext; d: SwitchboardData; name: string }> = ({ ctx, d, name }) => {
  const c = d.changes[name];
  return c ? (
    <>
      <Time ctx={ctx} at={c.at} /> by {c.by}
    </>
  ) : (
    <>never changed</>
  );
};

const Row: FC<{
  ctx: PageContext;
  d: SwitchboardData;
  name: string;
  label: string;
  on: boolean;
  what: string;
  press: string;
  value: string;
  to: string;
}> = (p) => (
  <tr>
    <th scope="row">
      <b>{p.label}</b>
      <span class="sub">{p.what}</span>
    </th>
    <td>{p.d.unreadable ? "unreadable: treated as stopped" : p.on ? <b>on</b> : "off"}</td>
    <td class="sub">
      <Changed ctx={p.ctx} d={p.d} name={p.name} />
    </td>
    <td>
      <Act ctx={p.ctx} action="/switchboard" label={p.press} fields={{ switch: p.value, on: p.to }} />
    </td>
  </tr>
);

const Envelope: FC<{ ctx: PageContext; d: SwitchboardData; e: EnvelopeRow }> = ({ ctx, d, e }) => (
  <tr>
    <th scope="row">
      <b>{e.probe}</b>
      <span class="sub">
        {e.fix_name === "(none)"
          ? "No fix is declared; nothing can be turned on."
          : `${e.fix_name}: ${e.in_scope.join(", ")}`}
      </span>
    </th>
    <td>
      {d.unreadable ? "unreadable: treated as stopped" : e.enabled ? <b>on, {e.mode}</b> : "off"}
      {e.forced_off && <span class="sub"> forced off by {e.forced_off}</span>}
    </td>
    <td class="sub">
      <Changed ctx={ctx} d={d} name={`envelope.${e.probe}`} />
    </td>
    <td>
      {e.fix_name === "(none)" ? null : e.enabled || e.set ? (
        <div class="acts">
          <Act ctx={ctx} action="/switchboard" label="Turn off" fields={{ switch: `envelope.${e.probe}`, on: "0" }} />
          {e.mode !== "dry_run" && (
            <Act
              ctx={ctx}
              action="/switchboard"
              label="Back to dry run"
              fields={{ switch: `envelope.${e.probe}`, on: "1", mode: "dry_run" }}
            />
          )}
          {MODES.filter((m) => m !== "dry_run" && m !== e.mode).map((m) => (
            <a class="btn" href={`/switchboard/envelope/${encodeURIComponent(e.probe)}?mode=${m}`}>
              {MODE_WORD[m]}…
            </a>
          ))}
        </div>
      ) : (
        <a class="btn" href={`/switchboard/envelope/${encodeURIComponent(e.probe)}`}>
          Turn on…
        </a>
      )}
    </td>
  </tr>
);

/** From harmless to free; the last two are confirmed on a page of their own. */
export const MODES = ["dry_run", "approve", "auto"] as const;
export type EnvelopeMode = (typeof MODES)[number];
const MODE_WORD: Record<EnvelopeMode, string> = {
  dry_run: "Dry run",
  approve: "Ask to approve",
  auto: "Run by itself",
};
const MODE_TEXT: Record<EnvelopeMode, string> = {
  dry_run: "As a dry run: the exact request is recorded and not sent.",
  approve:
    "Each fix is asked first, in the thread and on the incident page: one answer, within 15 minutes, counts once.",
  auto: "Fixes run without a question. Every gate and cap below still holds, and the outcome is told.",
};

const held = (d: SwitchboardData, now: number): string => {
  if (d.unreadable) return "The switchboard can't be read: everything is treated as stopped.";
  const words = [
    d.paused && "wakes are paused",
    d.killed && "autofix is killed",
    (d.muted_until ?? 0) > now && "notices are muted",
  ];
  const on = words.filter(Boolean);
  return on.length === 0 ? "Nothing is held back." : `Held back: ${on.join(", ")}.`;
};

/** Switchboard: is anything held back? The safe direction is one press; the other asks first. */
export const SwitchboardPage: FC<{ ctx: PageContext; data: SwitchboardData }> = ({ ctx, data: d }) => {
  const muted = (d.muted_until ?? 0) > ctx.now;
  return (
    <>
      <div class="head">
        <div>
          <h1>{held(d, ctx.now)}</h1>
          <p class="lead">Changes hold at once, for every isolate, and each is an audit row.</p>
        </div>
      </div>
      <section aria-label="Switches">
        <div class="wrap">
          <table class="t two">
            <caption class="vh">Switches</caption>
            <thead>
              <tr>
                <th scope="col">Switch</th>
                <th scope="col">State</th>
                <th scope="col">Last change</th>
                <th scope="col">Act</th>
              </tr>
            </thead>
            <tbody>
              <Row
                ctx={ctx}
                d={d}
                name="paused"
                label="Pause wakes"
                on={d.paused}
                what="No reasoning is started. Plain notices still go out."
                press={d.paused ? "Resume" : "Pause"}
                value="paused"
                to={d.paused ? "0" : "1"}
              />
              <Row
                ctx={ctx}
                d={d}
                name="killed"
                label="Kill autofix"
                on={d.killed}
                what="No fix runs, whatever the envelopes say."
                press={d.killed ? "Allow again" : "Kill"}
                value="killed"
                to={d.killed ? "0" : "1"}
              />
              <Row
                ctx={ctx}
                d={d}
                name="muted_until"
                label="Mute notices"
                on={muted}
                what="Notices go to the inbox only. Mutes end by themselves after 1 h."
                press={muted ? "Unmute" : "Mute 1 h"}
                value="muted"
                to={muted ? "0" : "1"}
              />
            </tbody>
          </table>
        </div>
        {muted && (
          <p class="sub">
            Muted till <Time ctx={ctx} at={d.muted_until!} as="date" />.
          </p>
        )}
      </section>
      <section aria-label="Fix envelopes">
        <h2>Fix envelopes</h2>
        <div class="wrap">
          <table class="t two">
            <caption class="vh">Fix envelopes</caption>
            <thead>
              <tr>
                <th scope="col">Probe</th>
                <th scope="col">State</th>
                <th scope="col">Last change</th>
                <th scope="col">Act</th>
              </tr>
            </thead>
            <tbody>
              {d.envelopes.map((e) => (
                <Envelope ctx={ctx} d={d} e={e} />
              ))}
            </tbody>
          </table>
        </div>
      </section>
    </>
  );
};

/** Turning an envelope on is the unsafe direction: the page says what it may do before the button. */
export const EnvelopePage: FC<{ ctx: PageContext; e: EnvelopeRow; mode?: EnvelopeMode }> = ({
  ctx,
  e,
  mode = "dry_run",
}) => (
  <div class="form">
    <h1>
      {mode === "dry_run"
        ? `Turn on the fix envelope of ${e.probe}?`
        : mode === "auto"
          ? `Let fixes of ${e.probe} run by themselves?`
          : `Let fixes of ${e.probe} run once approved?`}
    </h1>
    <p class="lead">
      It declares <code>{e.fix_name}</code> for {e.in_scope.join(", ")}. {MODE_TEXT[mode]} Never:{" "}
      {e.out_of_scope.join(", ")}.
    </p>
    <p>Caps: 1 attempt an incident, 2 a target in 24 h, 3 a workspace a day. No attempt is repeated by itself.</p>
    {e.forced_off && (
      <p class="box err">
        <code>{e.forced_off}</code> forces it off; this switch has no effect until that variable is changed.
      </p>
    )}
    <form method="post" action="/switchboard">
      <Guard ctx={ctx} />
      <input type="hidden" name="switch" value={`envelope.${e.probe}`} />
      <input type="hidden" name="on" value="1" />
      <input type="hidden" name="mode" value={mode} />
      <div class="acts">
        <button type="submit" class="danger">
          {mode === "dry_run"
            ? "Turn on as dry run"
            : mode === "auto"
              ? "Run without asking"
              : "Ask me before each fix"}
        </button>
        <a href="/switchboard" data-up>
          {e.enabled ? "Leave it as it is" : "Leave it off"}
        </a>
      </div>
    </form>
  </div>
);
