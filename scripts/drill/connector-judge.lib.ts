import type { Ledger } from "../../test/support/platforms.types";
import type { Measure } from "../lib/measure";
import type { Cast, Handling, House } from "./connector.lib";
import type { Post, Sender } from "./connector-send.lib";

/** `npm run drill -- connector`: the ledgers of senders, gateways and platforms, held against each other. */

export interface Fault {
  goal: Goal;
  what: string;
}

const GOALS = {
  lost: "acked events never handled",
  reordered: "events out of their chat's order",
  repeated: "repeats without a lost ack",
  forged: "forged events accepted",
  refused: "signed events refused",
  strayed: "events at another's gateway",
  doubled: "replies posted twice",
  belied: "results that belie the platform",
  unanswered: "replies without a result",
};
type Goal = keyof typeof GOALS;

/** Every figure; `faults` are told beside them. */
export function audit(
  cast: Cast,
  sender: Sender,
  ledger: Ledger,
  done: Record<string, number>,
  faulted: { done: number; planned: number },
): { faults: Fault[]; measures: Measure[] } {
  const faults: Fault[] = [];
  const fault = (goal: Goal, what: string): void => void faults.push({ goal, what });
  const posts = new Map(sender.posts.map((p) => [p.token.toLowerCase(), p]));
  const handled = new Set<Post>();
  let explained = 0;
  for (const house of cast.houses) explained += auditHouse(house, posts, handled, fault);
  for (const post of sender.posts) {
    if (post.acked && !handled.has(post))
      fault("lost", `${post.token} was acked and never handled; it came ${cameTo(post)}`);
    if (post.forged && post.statuses.some((s) => s >= 200 && s < 300))
      fault("forged", `${post.token} (${post.forged}): ${post.statuses}`);
  }
  for (const what of sender.refused) fault("refused", what);
  const ends = auditReplies(cast, ledger, fault);

  const plain = (name: string, label: string, value: number): Measure => ({
    name: `connector.${name.replace(/[^a-z0-9]+/g, "_")}`,
    label,
    value,
    unit: "",
    goal: null,
    compare: "=",
  });
  const signed = sender.posts.filter((p) => !p.forged);
  const measures = [
    { ...plain("acked", "signed events acked", signed.filter((p) => p.acked).length), goal: signed.length },
    // Some cuts find nothing to cut.
    { ...plain("faults", "faults", faulted.done), goal: Math.floor(faulted.planned * 0.9), compare: ">=" as const },
    ...(Object.keys(GOALS) as Goal[]).map((goal) => ({
      ...plain(goal, GOALS[goal], faults.filter((f) => f.goal === goal).length),
      goal: 0,
      beside: faults.find((f) => f.goal === goal)?.what.slice(0, 160) ?? null,
    })),
    plain("explained", "repeats after a lost ack", explained),
    plain("forgeries", "forged events sent", sender.posts.length - signed.length),
    ...[...sender.repeats].map(([kind, n]) => plain(`again_${kind}`, `events sent again, ${kind}`, n)),
    ...Object.entries(done).map(([what, n]) => plain(what, what, n)),
    ...[...ends].map(([end, n]) => plain(`replies_${end}`, `replies: ${end}`, n)),
  ];
  return { faults, measures };
}

/** How often it was sent down a line, and whether its gateway took it without its ledger. */
function cameTo({ chat, token }: Post): string {
  const { wires, gateway } = chat.house;
  const came = wires.filter((w) => w.came.includes(token)).length;
  return `${came} times, and was taken ${gateway.handled.filter((h) => h.text === token).length} times`;
}

/** Returns how many repeats a lost ack explains. */
function auditHouse(
  house: House,
  posts: Map<string, Post>,
  handled: Set<Post>,
  fault: (goal: Goal, what: string) => void,
): number {
  let explained = 0;
  const last = new Map<string, number>();
  const before = new Map<Post, Handling>();
  for (const h of house.handled) {
    const post = posts.get(h.token.toLowerCase());
    if (!post || post.forged) {
      fault("forged", `${h.token} was handled`);
      continue;
    }
    if (post.chat.house !== house || post.chat.chat !== h.chat)
      fault("strayed", `${h.token} at gateway ${house.index}`);
    const earlier = before.get(post);
    if (earlier) {
      // One event is in flight at a time: only the last of a line that is gone can lack its ack.
      const unacked = earlier.wire.ended && earlier.wire !== h.wire && earlier.wire.came.at(-1) === h.token;
      if (unacked) explained++;
      else fault("repeated", `${h.token} was handled again, and ${earlier.wire.came.at(-1)} came after it`);
    }
    const at = last.get(h.chat) ?? -1;
    if (post.n < at) fault("reordered", `${h.token} after ${at}`);
    last.set(h.chat, Math.max(at, post.n));
    before.set(post, h);
    handled.add(post);
  }
  return explained;
}

function auditReplies(cast: Cast, ledger: Ledger, fault: (goal: Goal, what: string) => void): Map<string, number> {
  const posted = new Map<string, string[]>();
  const note = (text: string, chat: string): void => void posted.set(text, [...(posted.get(text) ?? []), chat]);
  for (const m of ledger.slack) note(m.text, m.channel);
  for (const m of ledger.telegram) note(m.text, m.chat_id);
  const ends = new Map<string, number>();
  const known = new Set<string>();
  for (const { replies } of cast.houses)
    for (const r of replies) {
      const places = posted.get(r.content) ?? [];
      const told = `"${r.content}" (${r.chat.platform}): ${r.end} ${r.error}, posted ${places.length} times`;
      known.add(r.content);
      ends.set(r.end ?? "open", (ends.get(r.end ?? "open") ?? 0) + 1);
      if (places.length > 1) fault("doubled", told);
      if (places.some((p) => p !== r.chat.chat)) fault("strayed", told);
      if (r.end === "success" && places.length === 0) fault("belied", told);
      if (r.end === "failed" && places.length > 0) fault("belied", told);
      if (r.end === "unanswered" || r.end === null) fault("unanswered", told);
    }
  for (const text of posted.keys()) if (!known.has(text)) fault("belied", `"${text}" was posted, and nobody said it`);
  return ends;
}
