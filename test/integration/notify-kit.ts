import { env } from "cloudflare:workers";
import { inject } from "vitest";
import { type Clock, makeClock } from "../../src/kernel/clock";
import { newId } from "../../src/kernel/ids";
import { type Runtime, runtimeOf } from "../../src/kernel/runtime";
import type { Notice } from "../../src/notify";
import type { Behaviour, Ledger } from "../support/platforms.types";

/** What the notice tests share: the stand-in's switches, a clock they can turn, and a notice. */

const url = inject("platformsUrl");

type Change = Partial<Record<"slack" | "telegram" | "webhook", Behaviour>> & { reset?: boolean };

export async function control(change: Change): Promise<void> {
  const response = await fetch(`${url}/_control`, { method: "POST", body: JSON.stringify(change) });
  await response.text();
}

export async function ledger(): Promise<Ledger> {
  return (await fetch(`${url}/_ledger`)).json<Ledger>();
}

export const vars = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  ...(env as unknown as Record<string, unknown>),
  ...more,
});

/** A clock that stands still until it is moved; wall time stays real. */
export function handClock(start = Date.UTC(2026, 10, 20, 13, 47)): Clock & { add(ms: number): void } {
  let now = start;
  return {
    ...makeClock(),
    now: () => now,
    add: (ms) => {
      now += ms;
    },
  };
}

export function runtimeWith(more: Record<string, unknown> = {}, clock?: Clock): Runtime {
  const made = runtimeOf(vars(more), "test");
  return clock ? { ...made, clock } : made;
}

export function notice(more: Partial<Notice> = {}): Notice {
  const id = newId(Date.now());
  return {
    id,
    event: "opened",
    severity: "critical",
    title: "■ Down: fly-web, no serving machine",
    body: "Since 13:47:02 UTC (30 s), confirmed by 2 of 2 looks. Nothing was changed.",
    quote: "",
    incident_id: `incident-${id}`,
    target_id: "fly-web",
    url: "http://reveille.test/incidents/1",
    rehearsal: false,
    actions: [],
    at: Date.UTC(2026, 10, 20, 13, 47),
    ...more,
  };
}
