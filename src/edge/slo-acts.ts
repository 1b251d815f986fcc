import { auditStatement } from "../audit";
import { badRequest, notFound } from "../kernel/errors";
import { checkUrl, isPrivateHost } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import { type Direction, type DirectionRow, directionPlace, REASONS, RUN_NOW, readDirections } from "../slo";
import { seal, sealKeys } from "../vault";
import { insertTarget } from "../watch";
import type { EdgeEnv } from "./env";

/** What an operator does about the wake SLO's directions, for API and page alike. Each act is an audit row. */

export interface DirectionAsk {
  from_agent: string;
  to_agent: string;
  peer_kind: "qoopia" | "embedded";
  peer_url?: string | undefined;
  /** Sealed; told to nobody. Left out: the one before stays. */
  key?: string | undefined;
  key_ref?: string | null | undefined;
  pong: "hook" | "inbox";
  every_s: number;
  offset_s?: number | undefined;
}

export async function mustReadDirection(db: D1Database, code: Direction): Promise<DirectionRow> {
  const row = (await readDirections(db)).find((d) => d.code === code);
  if (!row) throw notFound("slo/direction", code);
  return row;
}

/** The rules of a direction as internal targets: their faults are incidents like any other. */
function ruleTargets(db: D1Database, code: Direction, have: Set<string>, now: number): D1PreparedStatement[] {
  const rules: [id: string, name: string, rule: string][] = [
    ...REASONS.map((r): [string, string, string] => [
      `reveille-slo-${r}-${code.toLowerCase()}`,
      `Reveille: wake SLO ${code}, ${r}`,
      `slo_${r}_${code}`,
    ]),
    ["reveille-slo-identity", "Reveille: wake SLO, identity of the answer", "wrong_identity_key"],
  ];
  return rules
    .filter(([id]) => !have.has(id))
    .flatMap(([id, name, rule]) =>
      insertTarget(
        db,
        {
          ...{ id, name, kind: "internal", every_s: 180, config: { rule }, credentials: {} },
          ...{ thresholds: { confirm: 1 }, paused: false, source: "builtin" },
        },
        now,
      ),
    );
}

/** Sets a direction anew; its schedule begins now. @throws ReveilleError 400 for a peer that must not be reached, 503 without REVEILLE_HOOK_KEY */
export async function setDirection(
  env: EdgeEnv,
  runtime: Runtime,
  code: Direction,
  ask: DirectionAsk,
  by: string,
): Promise<DirectionRow> {
  const now = runtime.clock.now();
  if (ask.from_agent === ask.to_agent) throw badRequest("same_agent", "An agent can't probe itself.", "to_agent");
  if (ask.peer_url !== undefined) {
    const url = checkUrl(ask.peer_url, runtime.config.allowPrivate, "peer_url");
    if (url.protocol === "http:" && !isPrivateHost(url.hostname))
      throw badRequest("insecure_url", "The peer gets the agent's key, so it must be reached over https.", "peer_url");
  }
  const sealed =
    ask.key === undefined
      ? null
      : await seal(await sealKeys(runtime.vars, "REVEILLE_HOOK_KEY"), directionPlace(code), ask.key);
  const { results } = await env.DB.prepare("SELECT id FROM target WHERE id LIKE 'reveille-slo-%'").all<{
    id: string;
  }>();
  const offset = ask.offset_s ?? (code === "C2L" ? 0 : Math.floor(ask.every_s / 2));
  // A key belongs to one identity at one peer: with another of either, the one before must not be used.
  await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO slo_direction (code, from_agent, to_agent, peer_kind, peer_url, key_ref, sealed_key, pong, every_s, offset_s, updated_at)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
       ON CONFLICT (code) DO UPDATE SET
         sealed_key = COALESCE(?7, CASE WHEN from_agent = ?2 AND peer_kind = ?4 AND peer_url = ?5 THEN sealed_key END),
         from_agent = ?2, to_agent = ?3, peer_kind = ?4, peer_url = ?5, key_ref = ?6, pong = ?8, every_s = ?9,
         offset_s = ?10, updated_at = ?11, last_slot = NULL`,
    ).bind(
      ...[code, ask.from_agent, ask.to_agent, ask.peer_kind, ask.peer_url ?? "", ask.key_ref ?? null, sealed],
      ...[ask.pong, ask.every_s, offset, now],
    ),
    ...ruleTargets(env.DB, code, new Set(results.map((r) => r.id)), now),
    auditStatement(env.DB, {
      at: now,
      seam: "slo.changed",
      source: by === "api" ? "api" : "operator",
      details: {
        ...{ act: "set", direction: code, from: ask.from_agent, to: ask.to_agent, peer: ask.peer_kind },
        ...{ every_s: ask.every_s, key: sealed !== null },
      },
    }),
  ]);
  return mustReadDirection(env.DB, code);
}

/** Pauses, resumes, or runs a direction at the prober's next minute. What is paused is neither probed nor judged. */
export async function switchDirection(
  env: EdgeEnv,
  runtime: Runtime,
  code: Direction,
  act: "pause" | "resume" | "run",
  by: string,
): Promise<DirectionRow> {
  const now = runtime.clock.now();
  const before = await mustReadDirection(env.DB, code);
  if (act === "run" && before.paused)
    throw badRequest(
      "paused",
      `Direction ${code} is paused. Resume it first: POST /api/v1/slo/directions/${code}/resume`,
    );
  const change =
    act === "run"
      ? env.DB.prepare("UPDATE slo_direction SET last_slot = ?2 WHERE code = ?1").bind(code, RUN_NOW)
      : env.DB.prepare("UPDATE slo_direction SET paused = ?2, updated_at = ?3 WHERE code = ?1").bind(
          ...[code, act === "pause" ? 1 : 0, now],
        );
  await env.DB.batch([
    change,
    auditStatement(env.DB, {
      ...{ at: now, seam: "slo.changed", source: by === "api" ? "api" : "operator" },
      details: { act, direction: code },
    }),
  ]);
  return mustReadDirection(env.DB, code);
}
