import type { LlmReply } from "../../test/support/llm.types";
import { acts, type Outside, told } from "./reason.lib";

/** `npm run drill -- reason`: when it kills, and what the outside does meanwhile. */

/** Ways in which a machine is unwell, each on a vendor of its own. A workspace acts on one machine id twice a day at most. */
export const SICK = [
  { mode: "failed_machine", machine: "148e21c9a45678", fix: "restart_fixes" },
  { mode: "stopped", machine: "148e21c9a45678", fix: "restart_fixes" },
  { mode: "stuck", machine: "3d8d7961b9e189", fix: "restart_no_change" },
] as const;

/** A moment to kill at: as soon as it comes, or a little later. */
export interface Aim {
  name: string;
  spread: number;
  seen(w: World): number;
}
export interface World {
  out: Outside;
  logs: Map<string, number>;
}
const log =
  (event: string) =>
  ({ logs }: World): number =>
    logs.get(event) ?? 0;
const slack =
  (kind: string) =>
  ({ out }: World): number =>
    told(out).filter((m) => m.kind === kind).length;

export const AIMS: Aim[] = [
  { name: "opened", spread: 1_500, seen: log("incident.opened") },
  { name: "opened", spread: 1_500, seen: log("incident.opened") },
  { name: "opened", spread: 60, seen: log("incident.opened") },
  { name: "opened", spread: 4, seen: log("incident.opened") },
  { name: "plain notice in", spread: 25, seen: slack("opened") },
  { name: "plain notice sent", spread: 20, seen: log("notice.sent:opened") },
  { name: "plain notice sent", spread: 10, seen: log("notice.sent:opened") },
  { name: "call", spread: 400, seen: ({ out }) => out.llm.ledger().calls.length },
  { name: "answer", spread: 20, seen: ({ out }) => out.llm.ledger().calls.filter((c) => c.status !== null).length },
  { name: "stored", spread: 30, seen: log("investigation.stored") },
  { name: "stored", spread: 8, seen: log("investigation.stored") },
  { name: "explanation in", spread: 25, seen: slack("explained") },
];
const leases = ({ out }: World): number =>
  out.vendors.flatMap((v) => v.ledger()).filter((r) => r.method === "POST" && r.path.endsWith("/lease")).length;
export const FIX_AIMS: Aim[] = [
  { name: "lease", spread: 12, seen: leases },
  { name: "act", spread: 600, seen: ({ out }) => acts(out).length },
  { name: "act", spread: 90, seen: ({ out }) => acts(out).length },
  { name: "ran", spread: 60, seen: log("autofix.ran") },
  { name: "lease", spread: 5, seen: leases },
  { name: "explanation in", spread: 40, seen: slack("explained") },
];

/** What the model says: mostly something true to the form, sometimes what providers and models do wrong. */
export function thinker(random: () => number): (asked: { about: string | null; messages: number }) => LlmReply {
  return ({ about, messages }) => {
    const delay = 50 + random() * 350;
    const fly = about === null ? null : (/-f(\d\d)$/.exec(about)?.[1] ?? null);
    const chance = messages > 1 ? 1 : random() + (fly === null ? 0 : 0.3);
    if (chance < 0.07) return { mode: "status", status: 500, delay };
    if (chance < 0.13) return { mode: "status", status: 429, delay };
    if (chance < 0.19) return { mode: "bad_json", delay };
    if (chance < 0.24) return { mode: "truncated", delay };
    if (chance < 0.27) return { mode: "drop", delay };
    if (chance < 0.3) return { mode: "bad_wire", delay };
    if (chance < 0.34) return { mode: "tool", delay };
    const machine = fly === null ? null : SICK[Number(fly) % SICK.length]!.machine;
    const text = JSON.stringify({
      summary: "It stopped answering [E1]; nothing else changed at that time.",
      evidence: ["E1"],
      confidence: 0.8,
      likely_cause: "Likely the service behind it.",
      next_step: "Look at its logs.",
      ...(machine === null
        ? {}
        : { proposed_action: { action: "restart_unhealthy_machine", target_id: machine, reason: "It is down." } }),
    });
    return { mode: "good", text, delay };
  };
}
