import type { Child, FC } from "hono/jsx";
import { hourMinute } from "../kernel/format";
import { ICON, SCRIPT, STYLE } from "./assets";
import { Act, Guard, Time } from "./components";
import type { Flash, PageContext, ShellData } from "./context";
import { Patterns } from "./graphs";
import { zoneName } from "./zone";

/** A page in the top bar. Later pages add a line here; `more` puts it under "More". */
const NAV: { href: string; label: string; more?: true; count?: "unread" | "open" }[] = [
  { href: "/", label: "Overview" },
  { href: "/incidents", label: "Incidents", count: "open" },
  { href: "/inbox", label: "Inbox", count: "unread" },
  { href: "/budget", label: "Budget" },
  { href: "/audit", label: "Audit" },
  { href: "/platforms", label: "Platforms", more: true },
  { href: "/gateways", label: "Gateways", more: true },
  { href: "/deliveries", label: "Deliveries", more: true },
  { href: "/dead-letters", label: "Dead letters", more: true },
  { href: "/ui/sessions", label: "Sessions", more: true },
  { href: "/ui/agents", label: "Agents", more: true },
  { href: "/ui/trust", label: "Trust", more: true },
  { href: "/slo", label: "SLO", more: true },
  { href: "/messaging", label: "Messaging", more: true },
  { href: "/messaging/hooks", label: "Wake hooks", more: true },
  { href: "/maintenance", label: "Maintenance", more: true },
  { href: "/switchboard", label: "Switchboard", more: true },
  { href: "/listeners", label: "Listeners", more: true },
];

const here = (href: string, path: string): boolean => {
  const at = path.split("?")[0] ?? "/";
  if (href === "/") return at === "/" || at.startsWith("/targets/");
  // Of two entries one above the other only the nearer one is here.
  return at === href || (at.startsWith(`${href}/`) && !(href === "/messaging" && at.startsWith("/messaging/hooks")));
};

const NavLink: FC<{ item: (typeof NAV)[number]; path: string; shell: ShellData }> = ({ item, path, shell }) => {
  const n = item.count ? shell[item.count] : 0;
  return (
    <a href={item.href} aria-current={here(item.href, path) ? "page" : undefined}>
      {item.label}
      {n > 0 && (
        <>
          {" "}
          <span class="n">{n > 99 ? "99+" : n}</span>
        </>
      )}
    </a>
  );
};

const Top: FC<{ ctx: PageContext; shell: ShellData }> = ({ ctx, shell }) => (
  <header class="top">
    <div>
      <a class="brand" href="/">
        Reveille
      </a>
      <nav aria-label="Pages">
        {NAV.filter((x) => !x.more).map((item) => (
          <NavLink item={item} path={ctx.path} shell={shell} />
        ))}
        <details class="more" id="more">
          <summary aria-current={NAV.some((x) => x.more && here(x.href, ctx.path)) ? "true" : undefined}>
            More ▾
          </summary>
          <div>
            {NAV.filter((x) => x.more).map((item) => (
              <NavLink item={item} path={ctx.path} shell={shell} />
            ))}
            <button type="button" class="plain" data-sheet data-script hidden>
              Keys
            </button>
            <Act ctx={ctx} action="/logout" label="Sign out" kind="plain" />
          </div>
        </details>
      </nav>
      <div class="tools">
        <form method="get" action="/find">
          <label class="vh" for="find">
            Find by id or name
          </label>
          <input id="find" name="q" type="search" placeholder="Find an id" autocomplete="off" />
        </form>
        <span class="zone">
          {zoneName(ctx.zone)}{" "}
          <button type="button" class="plain" data-zone-button aria-keyshortcuts="u" hidden>
            Change
          </button>
        </span>
        <span class="looked" id="looked" data-live>
          {shell.looked_at > 0 ? (
            <>
              looked <Time ctx={ctx} at={shell.looked_at} />
            </>
          ) : (
            "first look soon"
          )}
        </span>
      </div>
    </div>
  </header>
);

/** Over everything: we are not looking, or something is held back. */
const Bands: FC<{ ctx: PageContext; shell: ShellData }> = ({ ctx, shell }) => {
  const s = shell.switches;
  const by = (name: string): string => {
    const c = s.changes[name];
    return c ? ` by ${c.by} since ${hourMinute(c.at, ctx.zone)}` : "";
  };
  const muted = s.muted_until !== null && s.muted_until > ctx.now;
  return (
    <div id="bands" data-live>
      {shell.blind && (
        <div class="band" role="alert">
          <div>
            <b>
              Reveille has not looked for <Time ctx={ctx} at={shell.looked_at} as="for" />.
            </b>{" "}
            States below are from {hourMinute(shell.looked_at, ctx.zone)} {zoneName(ctx.zone)}.
            <a href="/listeners">Listeners</a>
          </div>
        </div>
      )}
      {s.unreadable && (
        <div class="band held" role="alert">
          <div>The switchboard can't be read: reasoning and fixes are treated as stopped.</div>
        </div>
      )}
      {!s.unreadable && s.paused && (
        <div class="band held">
          <div>
            Wakes paused{by("paused")}.
            <Act
              ctx={ctx}
              action="/switchboard"
              label="Resume"
              kind="plain"
              fields={{ switch: "paused", on: "0", back: ctx.path }}
            />
          </div>
        </div>
      )}
      {!s.unreadable && s.killed && (
        <div class="band held">
          <div>
            Autofix killed{by("killed")}. <a href="/switchboard">Switchboard</a>
          </div>
        </div>
      )}
      {muted && (
        <div class="band held">
          <div>
            Notices go to the inbox only, till {hourMinute(s.muted_until!, ctx.zone)} {zoneName(ctx.zone)}
            {by("muted_until")}.
            <Act
              ctx={ctx}
              action="/switchboard"
              label="Unmute"
              kind="plain"
              fields={{ switch: "muted", on: "0", back: ctx.path }}
            />
          </div>
        </div>
      )}
    </div>
  );
};

const FlashLine: FC<{ ctx: PageContext; flash: Flash }> = ({ ctx, flash }) => (
  <div class={flash.bad ? "flash bad" : "flash"} role={flash.bad ? "alert" : "status"}>
    <span>{flash.text}</span>
    {flash.undo && (
      <form method="post" action={flash.undo.action} data-undo>
        <Guard ctx={ctx} />
        {Object.entries(flash.undo.fields).map(([k, v]) => (
          <input type="hidden" name={k} value={v} />
        ))}
        <button type="submit">Undo</button>
      </form>
    )}
  </div>
);

const KEYS: [string, string][] = [
  ["?", "this sheet"],
  ["/", "filter, or paste an id"],
  ["j k", "move"],
  ["Enter", "open"],
  ["Esc", "back"],
  ["u", "zone: UTC or yours"],
  ["c", "copy link"],
  ["g o", "overview"],
  ["g i", "incidents"],
  ["g n", "inbox"],
  ["g s", "sessions"],
  ["g w", "gateways"],
  ["g d", "deliveries"],
  ["g l", "SLO"],
  ["g b", "budget"],
  ["g a", "audit"],
  ["n", "new target (overview)"],
  ["f", "next state filter (overview)"],
  ["r", "look now (target)"],
  ["a z", "ack, snooze (incident)"],
  ["x", "mark read (inbox)"],
];

const Sheet: FC = () => (
  <dialog id="keys" aria-labelledby="keys-title">
    <h2 id="keys-title">Keys</h2>
    <div class="keys">
      {KEYS.map(([k, what]) => (
        <>
          <span>
            {k.split(" ").map((x) => (
              <>
                <kbd>{x}</kbd>{" "}
              </>
            ))}
          </span>
          <span>{what}</span>
        </>
      ))}
    </div>
    <p>
      <label>
        <input type="checkbox" id="keys-off" /> Single keys off
      </label>
    </p>
    <form method="dialog">
      <button type="submit">Close</button>
    </form>
  </dialog>
);

/** The HTML document around any page. `etag` lets the script ask whether anything changed. */
const Document: FC<{ ctx: PageContext; title: string; etag?: string; children: Child }> = ({
  ctx,
  title,
  etag,
  children,
}) => (
  <html lang="en" data-now={String(ctx.now)} data-rate={String(ctx.rate)} data-zone={ctx.zone} data-etag={etag}>
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="color-scheme" content="light dark" />
      <meta name="robots" content="noindex" />
      <title>{title === "Reveille" ? title : `${title} · Reveille`}</title>
      <link rel="icon" href={ICON.path} type="image/svg+xml" />
      <link rel="stylesheet" href={STYLE.path} />
      <script src={SCRIPT.path} defer />
    </head>
    <body>{children}</body>
  </html>
);

/** A page inside the shell. */
export const Page: FC<{
  ctx: PageContext;
  shell: ShellData;
  title: string;
  flash?: Flash | null;
  etag?: string;
  children: Child;
}> = ({ ctx, shell, title, flash, etag, children }) => (
  <Document ctx={ctx} title={title} {...(etag ? { etag } : {})}>
    <a class="skip" href="#main">
      Skip to content
    </a>
    <Patterns />
    <Bands ctx={ctx} shell={shell} />
    <Top ctx={ctx} shell={shell} />
    {flash && <FlashLine ctx={ctx} flash={flash} />}
    <div class="bell" id="bell" hidden>
      <button type="button" data-apply>
        0 new
      </button>
    </div>
    <main id="main" tabindex={-1}>
      {children}
    </main>
    <p class="vh" id="say" role="status" aria-live="polite" />
    <p class="bell" id="paused" hidden>
      <span class="box">
        Paused. <a href={ctx.path}>Refresh</a>
      </span>
    </p>
    <Sheet />
  </Document>
);

/** A page without the shell: sign-in and what a stranger may see. */
export const BarePage: FC<{ ctx: PageContext; title: string; children: Child }> = ({ ctx, title, children }) => (
  <Document ctx={ctx} title={title}>
    <header class="top">
      <div>
        <span class="brand">Reveille</span>
      </div>
    </header>
    <main id="main" tabindex={-1}>
      {children}
    </main>
  </Document>
);
