import type { Child, FC } from "hono/jsx";
import type { GatewayRow, GatewayView, InstanceRow } from "../../gateway";
import { PLATFORMS } from "../../platform";
import { Chip, Guard, Snippet, Time } from "../components";
import type { PageContext } from "../context";
import type { State } from "../state";

/** What the pages of the connector share. */

export interface InstanceLine {
  row: InstanceRow;
  /** Null: its object did not answer. */
  live: GatewayView | null;
  gateways: GatewayRow[];
}

const LOOK: Record<GatewayView["state"], State> = {
  on: "ok",
  "going idle": "degraded",
  asleep: "maintenance",
  dead: "down",
  revoked: "unknown",
};

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
export const instancePath = (d: { tenant: string; instance: string }): string =>
  `/gateways/${encodeURIComponent(d.tenant)}/${encodeURIComponent(d.instance)}`;

/** A gateway's secret is taken for good: with none left the instance is revoked, whatever its object remembers. */
export const stateOf = ({ live, gateways }: InstanceLine): GatewayView["state"] | null =>
  gateways.length > 0 && gateways.every((g) => g.revoked_at !== null) ? "revoked" : (live?.state ?? null);

export const StateChip: FC<{ ctx: PageContext; line: InstanceLine }> = ({ ctx, line }) => {
  const state = stateOf(line);
  const { live } = line;
  const seen = live?.last_seen ?? null;
  return (
    <>
      <Chip state={state ? LOOK[state] : "unknown"} word={state ? capital(state) : "Can't see"} />{" "}
      {state === "dead" && <span class="mod">{seen === null ? "never connected" : <Time ctx={ctx} at={seen} />}</span>}
      {state === "asleep" && <span class="mod">wakes on an event</span>}
    </>
  );
};

/** A table that becomes cards on a phone; a `small` one, of a few columns of numbers, stays a table. */
export const Table: FC<{ caption: string; heads: string[]; small?: true; children: Child }> = (p) => (
  <div class="wrap">
    <table class={p.small ? "compact" : "t"}>
      <caption class="vh">{p.caption}</caption>
      <thead>
        <tr>
          {p.heads.map((h, i) => (
            <th scope="col" class={p.small && i > 0 ? "r" : undefined}>
              {h || <span class="vh">Act</span>}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{p.children}</tbody>
    </table>
  </div>
);

/** One labelled field of a form. */
export const Field: FC<{ id: string; label: string; value?: string; hint?: string; required?: boolean }> = (p) => (
  <div class="field">
    <label for={p.id}>{p.label}</label>
    <input id={p.id} name={p.id} value={p.value} required={p.required} maxlength={2000} autocomplete="off" />
    {p.hint && <span class="sub">{p.hint}</span>}
  </div>
);

/** One choice of a form; the first is taken unless another is. */
export const Pick: FC<{ id: string; label: string; of: [value: string, text: string][] }> = ({ id, label, of }) => (
  <div class="field">
    <label for={id}>{label}</label>
    <select id={id} name={id}>
      {of.map(([value, text]) => (
        <option value={value}>{text}</option>
      ))}
    </select>
  </div>
);

/** How who calls a URL proves itself, as hooks and wakes know it. */
export const PROOFS: [value: string, text: string][] = [
  ["bearer", "a bearer token"],
  ["hmac", "a signature (HMAC-SHA256)"],
];

/** Where something goes, without what a URL may carry of secrets. */
export const placeOf = (url: string): string => (URL.canParse(url) ? new URL(url).host : url);

/** A choice of a platform. */
export const PlatformPick: FC<{ id: string; any?: string }> = ({ id, any }) => (
  <div class="field">
    <label for={id}>Platform</label>
    <select id={id} name="platform">
      {any && <option value="">{any}</option>}
      {PLATFORMS.map((p) => (
        <option value={p}>{p}</option>
      ))}
    </select>
  </div>
);

/** A secret on the one page that ever shows it. */
export const OncePage: FC<{ title: string; text: string; snippet: string; label: string; back: string }> = (p) => (
  <div class="form">
    <h1>{p.title}</h1>
    <p class="lead">{p.text}</p>
    <Snippet id="once" text={p.snippet} label={p.label} />
    <p>
      <a class="btn" href={p.back} data-up>
        Done
      </a>
    </p>
  </div>
);

/** Asks before what can't be undone; with `name` it must be typed. */
export const ConfirmPage: FC<{
  ctx: PageContext;
  title: string;
  text: string;
  action: string;
  label: string;
  back: string;
  name?: string;
  fields?: Record<string, string>;
}> = (p) => (
  <div class="form">
    <h1>{p.title}</h1>
    <p class="lead">{p.text}</p>
    <form method="post" action={p.action}>
      <Guard ctx={p.ctx} />
      {Object.entries(p.fields ?? {}).map(([k, v]) => (
        <input type="hidden" name={k} value={v} />
      ))}
      {p.name && <Field id="typed" label={`Type its id: ${p.name}`} required />}
      <div class="acts">
        <button type="submit" class="danger">
          {p.label}
        </button>
        <a href={p.back} data-up>
          Keep it
        </a>
      </div>
    </form>
  </div>
);
