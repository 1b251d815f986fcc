import { connect } from "cloudflare:sockets";
import { ReveilleError } from "../../kernel/errors";
import { checkHost } from "../../kernel/net-guard";
import type { Outcome, Probe, ProbeContext } from "../probe";
import { type TcpConfig, tcpConfig } from "../target.config";
import { bad, fault, healthy } from "./outcome";
import { configOf } from "./setup";
import { timedOut } from "./vendor";

/** Does a TCP port accept a connection? Nothing is sent. */

/** Ms until the connection stood, or null when the look's time ended first. Throws what the network says. */
async function open(ctx: ProbeContext, config: TcpConfig): Promise<number | null> {
  const { clock } = ctx.runtime;
  const began = clock.wall();
  const socket = connect(
    { hostname: config.host.replace(/^\[|\]$/g, ""), port: config.port },
    { allowHalfOpen: false, secureTransport: "off" },
  );
  // A failed connection rejects both; the one that is read below is enough.
  socket.closed.catch(() => {});
  try {
    const ended = new Promise<null>((resolve) => {
      if (ctx.signal.aborted) resolve(null);
      else ctx.signal.addEventListener("abort", () => resolve(null), { once: true });
    });
    const opened = await Promise.race([socket.opened.then(() => true), ended]);
    return opened === null ? null : Math.max(0, clock.wall() - began);
  } finally {
    await socket.close().catch(() => {});
  }
}

const judge = (config: TcpConfig, ms: number): Outcome =>
  config.latency_ms !== undefined && ms > config.latency_ms
    ? fault("degraded", "slow", `Connected in ${ms} ms; the limit is ${config.latency_ms} ms.`, { latency_ms: ms })
    : healthy(ms);

export const tcpProbe: Probe = async (ctx) => {
  const parsed = configOf(ctx, tcpConfig);
  if (!parsed.ok) return parsed.outcome;
  const config = parsed.value;
  const who = `${config.host}:${config.port}`;
  try {
    checkHost(config.host, String(config.port), ctx.runtime.config.allowPrivate, "config.host");
  } catch (error) {
    if (!(error instanceof ReveilleError)) throw error;
    return bad("degraded", "misconfigured", `${error.message} ${error.hint ?? ""}`.trim(), { signal: error.code });
  }
  for (let n = 0; ; n++) {
    try {
      const ms = await open(ctx, config);
      return ms === null ? timedOut(who) : judge(config, ms);
    } catch (error) {
      if (ctx.signal.aborted) return timedOut(who);
      if (n === 1)
        return bad(
          "unknown",
          "unreachable",
          `No connection to ${who}: ${error instanceof Error ? error.message : String(error)}`,
          {
            signal: "network",
          },
        );
      await new Promise((resolve) => setTimeout(resolve, 500 + Math.random() * 1_000));
    }
  }
};
