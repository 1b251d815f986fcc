import type { FC } from "hono/jsx";
import { count } from "../../kernel/format";
import type { AskRow, FixRow, ProposalView } from "../../reason";
import type { TrustProposal } from "../../trust";
import { Act, Pager, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import type { ChannelState, InboxNotice, InboxThread } from "../inbox.store";
import { WaitingFixes } from "./approve";
import { AskBox } from "./ask-box";
import { TrustWaiting, Waiting } from "./waiting";

export interface InboxData {
  unread: number;
  /** Fixes that wait for an answer, soonest end first. */
  fixes: Part<FixRow[]>;
  /** Proposals that want an answer. */
  waiting: Part<ProposalView[]>;
  /** What rules and tier two suggest about clients. */
  trust: Part<TrustProposal[]>;
  page: Part<{ threads: InboxThread[]; next: number | null }>;
  /** The newest questions to the built-in agent. */
  asks: Part<AskRow[]>;
}

/** One channel's state in words; what failed says where it went instead. */
export function channelWord(c: ChannelState, all: ChannelState[], now: number): string {
  const nth = c.tries > 1 ? ` (try ${c.tries})` : "";
  switch (c.state) {
    case "sent":
      return `${c.channel}: delivered${nth}`;
    case "sending":
      return `${c.channel}: sending${nth}${now - c.at > 60_000 ? ", no answer yet" : ""}`;
    case "unknown":
      return `${c.channel}: may have been delivered, the answer was lost${nth}`;
    case "suppressed":
      return `${c.channel}: not sent, ${c.error ?? "held back"}`;
    default: {
      const next = all[all.indexOf(c) + 1];
      const then = next ? ` → ${next.channel}` : c.tries < 3 ? ", retrying" : "";
      return `${c.channel}: failed after ${c.tries} ${c.tries === 1 ? "try" : "tries"}${then}`;
    }
  }
}

const NoticeItem: FC<{ ctx: PageContext; n: InboxNotice }> = ({ ctx, n }) => (
  <li id={`n-${n.id}`}>
    <span class="num sub">
      <Time ctx={ctx} at={n.created_at} />
    </span>
    <svg viewBox="0 0 12 12" aria-hidden="true">
      <circle class="dot" cx="6" cy="6" r={n.read_at === null ? "4" : "2"} />
    </svg>
    <div>
      <b>{n.title}</b>
      {n.read_at === null && <span class="vh"> unread</span>}
      {n.body && <div>{n.body}</div>}
      <div class="sub">
        {n.channels.map((c) => channelWord(c, n.channels, ctx.now)).join(" · ")}
        {n.channels
          .filter((c) => c.error && c.state !== "sent" && c.state !== "suppressed")
          .map((c) => (
            <div>
              {c.channel} said: <span class="quote">{c.error}</span>
            </div>
          ))}
      </div>
    </div>
  </li>
);

const Thread: FC<{ ctx: PageContext; t: InboxThread }> = ({ ctx, t }) => {
  const unread = t.notices.some((n) => n.read_at === null);
  const newest = t.notices[0];
  return (
    <section class="box" data-row={t.key} id={`thread-${t.key}`} aria-label={newest?.title}>
      <div class="acts">
        {t.incident_id ? (
          <a href={`/incidents/${encodeURIComponent(t.incident_id)}`}>Open incident</a>
        ) : (
          newest?.target_id && <a href={`/targets/${encodeURIComponent(newest.target_id)}`}>Open target</a>
        )}
        {unread && <Act ctx={ctx} action="/inbox/read" label="Mark read" kind="plain" fields={{ key: t.key }} />}
      </div>
      <ol class="tl">
        {t.notices.map((n) => (
          <NoticeItem ctx={ctx} n={n} />
        ))}
      </ol>
    </section>
  );
};

/** What the reader has to do, in words. */
function verdict({ unread, waiting, trust }: InboxData): string {
  const asked = (waiting.ok ? waiting.value.length : 0) + (trust.ok ? trust.value.length : 0);
  const parts = [
    ...(asked > 0 ? [`${count(asked)} ${asked === 1 ? "proposal waits" : "proposals wait"}`] : []),
    ...(unread > 0 ? [`${count(unread)} unread`] : []),
  ];
  return parts.join(", ") || "Nothing waits.";
}

/** Inbox: what was told, and what waits for an answer? */
export const InboxPage: FC<{ ctx: PageContext; data: InboxData }> = ({ ctx, data }) => (
  <>
    <div class="head">
      <div>
        <h1>{verdict(data)}</h1>
        <p class="lead">Notices land here even when no channel is set up.</p>
      </div>
      {data.unread > 0 && (
        <Act ctx={ctx} action="/inbox/read" label="Mark all read" hotkey="x" press fields={{ key: "" }} />
      )}
    </div>
    <WaitingFixes ctx={ctx} part={data.fixes} />
    <TrustWaiting ctx={ctx} part={data.trust} />
    <Waiting ctx={ctx} part={data.waiting} />
    <Section ctx={ctx} part={data.page} id="notices">
      {({ threads, next }) =>
        threads.length === 0 ? (
          <p class="box">No notice yet.</p>
        ) : (
          <>
            {threads.map((t) => (
              <Thread ctx={ctx} t={t} />
            ))}
            <Pager prev={null} next={next === null ? null : `/inbox?before=${next}`} what="notices" />
          </>
        )
      }
    </Section>
    <AskBox ctx={ctx} part={data.asks} />
  </>
);
