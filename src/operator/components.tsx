import type { Child, FC } from "hono/jsx";
import { ago, clockTime, dayTime, duration, fullTime, hourMinute, shortId } from "../kernel/format";
import type { PageContext, Part } from "./context";
import { STATE_WORD, type State, type StateView } from "./state";

/** Small parts every page is made of. No inline style and no script: the content security policy allows neither. */

const WEEK = 7 * 86_400_000;

/** The shape of a state: with its word it carries the meaning, colour comes third. */
export const Shape: FC<{ state: State }> = ({ state }) => (
  <svg viewBox="0 0 12 12" aria-hidden="true" focusable="false">
    {state === "ok" && <circle class="f-ok" cx="6" cy="6" r="5" />}
    {state === "degraded" && <path class="f-degraded" d="M6 .8 11.6 11H.4z" />}
    {state === "down" && (
      <>
        <path class="f-down" d="M.8.8h10.4v10.4H.8z" />
        <path class="f-cross" d="M3.6 3.6l4.8 4.8M8.4 3.6 3.6 8.4" />
      </>
    )}
    {state === "unknown" && <circle class="f-ring" cx="6" cy="6" r="4.6" />}
    {state === "maintenance" && <path class="f-maintenance" d="M6 .4 11.6 6 6 11.6.4 6z" />}
  </svg>
);

export const Chip: FC<{ state: State; word?: string }> = ({ state, word }) => (
  <span class={`chip s-${state}`}>
    <Shape state={state} />
    {word ?? STATE_WORD[state]}
  </span>
);

/** A state with its reason and its modifiers in words. */
export const StateLine: FC<{ ctx: PageContext; view: StateView }> = ({ ctx, view }) => {
  const words = [...view.modifiers];
  if (view.snoozed_until !== null) words.push(`snoozed till ${hourMinute(view.snoozed_until, ctx.zone)}`);
  const tail = [view.reason, ...words].filter(Boolean).join(" · ");
  return (
    <>
      <Chip state={view.state} /> {tail && <span class="mod">{tail}</span>}
    </>
  );
};

/**
 * A moment: relative up to seven days, then a date; the exact time is in the `title`. `as="for"` reads "3 min" (a span up to
 * now), `as="in"` a moment ahead, `as="clock"` the time of day with seconds.
 */
export const Time: FC<{ ctx: PageContext; at: number; as?: "ago" | "for" | "in" | "clock" | "date" }> = ({
  ctx,
  at,
  as = "ago",
}) => {
  const gap = ctx.now - at;
  const far = Math.abs(gap) >= WEEK;
  const text =
    as === "clock"
      ? clockTime(at, ctx.zone)
      : as === "for"
        ? duration(Math.max(0, gap))
        : as === "in" && gap >= 0
          ? "due"
          : as === "date" || far
            ? dayTime(at, ctx.zone, ctx.now)
            : ago(at, ctx.now, ctx.zone);
  const ticks = as !== "clock" && as !== "date" && !far;
  return (
    <time datetime={new Date(at).toISOString()} title={fullTime(at, ctx.zone)} {...(ticks ? { "data-rel": as } : {})}>
      {text}
    </time>
  );
};

/** An id, shortened; the button copies it whole. */
export const Id: FC<{ id: string; href?: string }> = ({ id, href }) => (
  <span class="id" title={id}>
    {href ? <a href={href}>{shortId(id)}</a> : shortId(id)}
    <button type="button" class="plain" data-copy={id} data-script hidden>
      Copy
    </button>
  </span>
);

/** A text to copy: shown whole, with a button when scripts run. */
export const Snippet: FC<{ id: string; text: string; label: string }> = ({ id, text, label }) => (
  <div class="field">
    <div class="acts">
      <b class="sub">{label}</b>
      <button type="button" class="plain" data-copy-from={`#${id}`} data-script hidden>
        Copy
      </button>
    </div>
    <pre id={id} tabindex={0}>
      {text}
    </pre>
  </div>
);

/** A section that fails alone: what can't be read, why, and where to look; never an empty table in place of an error. */
export function Section<T>(props: {
  ctx: PageContext;
  part: Part<T>;
  title?: string;
  id?: string;
  children: (value: T) => Child;
}) {
  const { ctx, part, title, id } = props;
  return (
    <section id={id} {...(id ? { "data-live": "" } : {})} aria-label={title}>
      {title && <h2>{title}</h2>}
      {part.ok ? (
        props.children(part.value)
      ) : (
        <div class="box err" role="alert">
          Can't read {part.what}: store error <code>{part.code}</code>, request <code>{ctx.request}</code>. The watch
          runs apart from this page. <a href={ctx.path}>Try again</a>
        </div>
      )}
    </section>
  );
}

/** The hidden fields every acting form carries. */
export const Guard: FC<{ ctx: PageContext }> = ({ ctx }) => (
  <>
    <input type="hidden" name="csrf" value={ctx.csrf} />
    <input type="hidden" name="form_key" value={ctx.formKey} />
  </>
);

/** One button that acts: a form, so it works without script. `hotkey` with `press` acts at once, without it only focuses. */
export const Act: FC<{
  ctx: PageContext;
  action: string;
  label: string;
  kind?: "go" | "danger" | "plain";
  fields?: Record<string, string>;
  hotkey?: string;
  press?: boolean;
  title?: string;
}> = ({ ctx, action, label, kind, fields = {}, hotkey, press, title }) => (
  <form method="post" action={action}>
    <Guard ctx={ctx} />
    {Object.entries(fields).map(([name, value]) => (
      <input type="hidden" name={name} value={value} />
    ))}
    <button
      type="submit"
      class={kind}
      title={title}
      aria-keyshortcuts={hotkey}
      {...(hotkey ? { "data-key": hotkey } : {})}
      {...(press ? { "data-press": "" } : {})}
    >
      {label}
    </button>
  </form>
);

/** Links to the pages before and after, by query. */
export const Pager: FC<{ prev: string | null; next: string | null; what: string }> = ({ prev, next, what }) =>
  prev || next ? (
    <p class="acts pager">
      {prev && <a href={prev}>Previous {what}</a>}
      {next && <a href={next}>Next {what}</a>}
    </p>
  ) : null;
