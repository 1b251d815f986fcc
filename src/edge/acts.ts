import type { RunMessage } from "../../durable-objects/env";
import { gatewayObject } from "../../durable-objects/gateway.stub";
import { switchboard } from "../../durable-objects/switchboard.do";
import { type TargetView, targetObject } from "../../durable-objects/target.do";
import { auditStatement } from "../audit";
import type { SloMessage } from "../hooks";
import { MINUTE } from "../kernel/clock";
import { badRequest, notFound, ReveilleError, unwrap } from "../kernel/errors";
import { checkHost, checkUrl } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import {
  patchTarget as applyTargetPatch,
  deleteTarget as deleteRows,
  hostsOf,
  type IncidentView,
  idFromName,
  insertTarget,
  lookAt,
  muteTarget as muteRow,
  type NewTarget,
  parseTarget,
  pauseTarget,
  readIncident,
  readTarget,
  type Snapshot,
  type Switches,
  type SwitchPatch,
  shardMessage,
  type Target,
  type TargetInput,
  updateTarget,
  urlsOf,
} from "../watch";
import type { EdgeEnv } from "./env";

/** Everything a person can do, in one place for API, pages and chat buttons alike. Every act leaves an audit row. */

const stub = (env: EdgeEnv, targetId: string) => targetObject(env.TARGET, targetId);

async function openIncident(env: EdgeEnv, id: string): Promise<IncidentView> {
  const incident = await readIncident(env.DB, id);
  if (!incident) throw notFound("incident", id);
  if (incident.resolved_at !== null)
    throw new ReveilleError({
      status: 409,
      code: "not_open",
      message: `Incident ${id} was resolved at ${incident.resolved_at}.`,
    });
  return incident;
}

export interface ActResult {
  changed: boolean;
  incident: IncidentView;
}

/** Acknowledges (or, with `on` false, un-acknowledges) an open incident. Twice is the same as once. */
export async function ackIncident(
  env: EdgeEnv,
  _runtime: Runtime,
  id: string,
  by: string,
  on = true,
): Promise<ActResult> {
  const incident = await openIncident(env, id);
  const { changed } = unwrap(await stub(env, incident.target_id).ack(incident.target_id, id, by, on));
  return { changed, incident: (await readIncident(env.DB, id)) ?? incident };
}

/** Longest snooze: a forgotten one must end by itself. */
const MAX_SNOOZE = 7 * 86_400_000;

/** Silences an open incident until `until` (Reveille ms), or ends its snooze with null. */
export async function snoozeIncident(
  env: EdgeEnv,
  runtime: Runtime,
  id: string,
  until: number | null,
  by: string,
): Promise<ActResult> {
  const now = runtime.clock.now();
  if (until !== null && (until <= now || until > now + MAX_SNOOZE))
    throw badRequest("bad_until", "A snooze ends in the future and within 7 days.", "until");
  const incident = await openIncident(env, id);
  const { changed } = unwrap(await stub(env, incident.target_id).snooze(incident.target_id, id, by, until));
  return { changed, incident: (await readIncident(env.DB, id)) ?? incident };
}

async function mustRead(env: EdgeEnv, id: string): Promise<Target> {
  const target = await readTarget(env.DB, id);
  if (!target) throw notFound("target", id);
  return target;
}

/** Looks at a target at once and says what was seen; counts like any other look. */
export async function lookNow(env: EdgeEnv, id: string): Promise<TargetView & { snapshot: Snapshot }> {
  await mustRead(env, id);
  return unwrap(await stub(env, id).look(id));
}

/** Kinds that can be looked at before they are saved: their probes keep no memory between looks. */
const PREVIEWED = ["http", "tcp"];

/** Looks once at a target that does not exist yet ("Look now" before saving). Nothing is stored. @throws 400 like creating. */
export async function previewLook(env: EdgeEnv, runtime: Runtime, body: unknown): Promise<Snapshot> {
  const input = parseTarget(body);
  if (!PREVIEWED.includes(input.kind))
    throw badRequest("no_preview", `A ${input.kind} target is looked at once it is saved.`, "kind");
  checkNetwork(runtime, input);
  const now = runtime.clock.now();
  const row = toRow(input, input.id ?? idFromName(input.name), "api");
  return lookAt({ ...row, num: 0, muted_until: null, created_at: now, updated_at: now }, runtime, env.DB);
}

/** Feeds made-up bad looks to one target, then good ones; all of it is marked "rehearsal". */
export async function rehearse(env: EdgeEnv, runtime: Runtime, id: string, by: string): Promise<TargetView> {
  await mustRead(env, id);
  const view = unwrap(await stub(env, id).rehearse(id));
  await note(env, runtime, by, { target: id, change: "rehearsal started" });
  return view;
}

const note = (env: EdgeEnv, runtime: Runtime, by: string, details: Record<string, unknown>): Promise<unknown> =>
  auditStatement(env.DB, {
    at: runtime.clock.now(),
    seam: "config.changed",
    source: "operator",
    details: runtime.redact.json({ by, ...details }),
  }).run();

function checkNetwork(runtime: Runtime, input: TargetInput): void {
  const list = runtime.config.allowPrivate;
  for (const { field, url } of urlsOf(input)) checkUrl(url, list, field);
  for (const { field, host, port } of hostsOf(input)) checkHost(host, port, list, field);
}

const toRow = (input: TargetInput, id: string, source: Target["source"]): NewTarget => ({
  id,
  name: input.name,
  kind: input.kind,
  every_s: input.every,
  config: input.config,
  credentials: input.credentials,
  thresholds: input.thresholds,
  paused: input.paused,
  source,
});

/** Creates a target. @throws 400 with the field, 409 `taken` when the id exists. */
export async function createTarget(
  env: EdgeEnv,
  runtime: Runtime,
  body: unknown,
  by: string,
  source: "api" | "seed" = "api",
): Promise<Target> {
  const input = parseTarget(body);
  const id = input.id ?? idFromName(input.name);
  if (id.startsWith("reveille-"))
    throw badRequest("bad_id", 'Ids that begin with "reveille-" are Reveille\'s own.', "id");
  checkNetwork(runtime, input);
  try {
    await env.DB.batch(insertTarget(env.DB, toRow(input, id, source), runtime.clock.now()));
  } catch (error) {
    if (!String(error).includes("UNIQUE")) throw error;
    throw new ReveilleError({
      status: 409,
      code: "taken",
      message: `A target with id "${id}" exists.`,
      field: "id",
      hint: `Change it with PATCH /api/v1/targets/${id}, or give another id.`,
    });
  }
  await note(env, runtime, by, { target: id, change: "target created", kind: input.kind });
  return mustRead(env, id);
}

/** Changes a target; what is not named stays. Pausing ends an open incident quietly. */
export async function patchTarget(
  env: EdgeEnv,
  runtime: Runtime,
  id: string,
  body: unknown,
  by: string,
  source?: "seed",
): Promise<Target> {
  const before = await mustRead(env, id);
  if (before.source === "builtin")
    throw new ReveilleError({ status: 409, code: "builtin", message: `${id} is one of Reveille's own rules.` });
  const input = applyTargetPatch(before, body);
  const after = toRow(input, id, source ?? before.source);
  checkNetwork(runtime, input);
  await updateTarget(env.DB, id, after, runtime.clock.now()).run();
  // Also when it was paused already: the close after that pause may have failed.
  if (after.paused) unwrap(await stub(env, id).close(id, by));
  // Its slot may be a day away, and until then the pages would show what was seen before the pause.
  else if (before.paused) await stub(env, id).rearm(id);
  await note(env, runtime, by, { target: id, change: "target changed", fields: Object.keys(body as object) });
  return mustRead(env, id);
}

/** Mutes a target's notices (inbox only) until `until`, or unmutes with null. */
export async function muteTarget(
  env: EdgeEnv,
  runtime: Runtime,
  id: string,
  until: number | null,
  by: string,
): Promise<void> {
  await mustRead(env, id);
  await muteRow(env.DB, id, until).run();
  await note(env, runtime, by, { target: id, change: until === null ? "unmuted" : "muted", until });
}

/** Deletes a target; its incidents, notices and audit rows stay. */
export async function deleteTarget(env: EdgeEnv, runtime: Runtime, id: string, by: string): Promise<void> {
  const target = await mustRead(env, id);
  if (target.source === "builtin")
    throw new ReveilleError({ status: 409, code: "builtin", message: `${id} is one of Reveille's own rules.` });
  // First no more looks: one between the close and the delete would open an incident that nobody can end.
  await pauseTarget(env.DB, id).run();
  unwrap(await stub(env, id).close(id, by));
  await env.DB.batch(deleteRows(env.DB, target));
  await note(env, runtime, by, { target: id, change: "target deleted" });
}

/** Changes switches and writes the `config.changed` row. @throws 503 when the switchboard can't be reached. */
export async function changeSwitches(
  env: EdgeEnv,
  runtime: Runtime,
  patch: SwitchPatch,
  by: string,
): Promise<Switches> {
  const board = switchboard(env.SWITCHBOARD);
  const unavailable = (message: string, error: unknown): ReveilleError =>
    new ReveilleError({ status: 503, code: "switchboard_unavailable", message, internal: String(error) });
  let before: Switches;
  let after: Switches;
  try {
    before = await board.read();
    after = await board.change(patch, runtime.clock.now(), by);
  } catch (error) {
    throw unavailable("The switchboard did not answer; nothing was changed.", error);
  }
  try {
    await note(env, runtime, by, { change: "switchboard", before, after });
  } catch (error) {
    throw unavailable("The switches were changed, but the audit row of it could not be written.", error);
  }
  return after;
}

/** Packs of replayed shards are numbered from here: a cycle has far fewer. */
const REPLAYED = 10_000;

/** Sends a dead letter's message once more. A wake starts again from the stage it reached. @throws 404, 409 when replayed. */
export async function replayDeadLetter(env: EdgeEnv, runtime: Runtime, id: string, by: string): Promise<void> {
  const row = await env.DB.prepare("SELECT kind, ref, payload, replayed_at FROM dead_letter WHERE id = ?")
    .bind(id)
    .first<{ kind: string; ref: string | null; payload: string; replayed_at: number | null }>();
  if (!row) throw notFound("dead-letter", id);
  const now = runtime.clock.now();
  // The mark comes first and only once, so two presses can't send twice.
  const mark = await env.DB.prepare(
    "UPDATE dead_letter SET replayed_at = ?, replayed_by = ? WHERE id = ? AND replayed_at IS NULL",
  )
    .bind(now, by, id)
    .run();
  if (mark.meta.changes === 0)
    throw new ReveilleError({ status: 409, code: "replayed", message: `Dead letter ${id} was replayed already.` });
  try {
    await resend(env, now, row);
  } catch (error) {
    // Nothing was sent: a mark that stays would make this letter the last word.
    await env.DB.prepare("UPDATE dead_letter SET replayed_at = NULL, replayed_by = NULL WHERE id = ?").bind(id).run();
    throw error;
  }
  await note(env, runtime, by, { change: "dead letter replayed", dead_letter: id });
}

const wakeKind = (payload: string): unknown => (JSON.parse(payload) as { kind?: unknown } | null)?.kind;

async function resend(
  env: EdgeEnv,
  now: number,
  row: { kind: string; ref: string | null; payload: string },
): Promise<void> {
  const ofHook = row.kind === "message" || (row.kind === "wake" && wakeKind(row.payload) === "message");
  if (row.kind === "wake" && row.ref && !ofHook) {
    await env.DB.batch([
      // What nobody was told is still to be told: a settled notice would count as told.
      env.DB.prepare(
        `UPDATE notice SET dm_status = NULL WHERE wake_id = ?1 AND dm_status = 'failed_send'
           AND EXISTS (SELECT 1 FROM wake WHERE wake_id = ?1 AND stage = 'dead' AND plain_noticed_at IS NULL)`,
      ).bind(row.ref),
      env.DB.prepare(
        `UPDATE wake SET stage = CASE WHEN plain_noticed_at IS NULL THEN 'new' WHEN investigated_at IS NOT NULL THEN 'investigated'
           WHEN reserved_at IS NOT NULL THEN 'reserved' ELSE 'plain_noticed' END, done_at = NULL, attempts = 0,
           dm_status = NULL, claimed_by = NULL, lease_until = NULL, next_at = ? WHERE wake_id = ? AND stage = 'dead'`,
      ).bind(now + 60_000, row.ref),
    ]);
    await env.WAKE_QUEUE.send({ wake_id: row.ref, kind: "incident" });
  } else if (row.kind === "probe") {
    const { shard, nums } = shardMessage.parse(JSON.parse(row.payload));
    // Its minute is long past: the looks are made for this one, in a pack that takes no other shard's place.
    const cycle_at = Math.floor(now / MINUTE) * MINUTE;
    await env.PROBE_QUEUE.send({ cycle_at, shard: (shard % REPLAYED) + REPLAYED, nums });
  } else if (row.kind === "delivery") {
    const { tenant, instance, seq } = JSON.parse(row.payload) as { tenant: string; instance: string; seq: number };
    const { skipped } = await gatewayObject(env.GATEWAY, { tenant, instance }).replay({ seqs: [seq] });
    if (skipped[0])
      throw new ReveilleError({
        status: 409,
        code: "not_replayed",
        message: `It was not sent again: ${skipped[0].why}.`,
      });
  } else if (row.kind === "run") {
    // Ids only; what they name decides whether anything is left to do.
    await env.RUNS_QUEUE.send(JSON.parse(row.payload) as RunMessage);
  } else if (ofHook && row.ref) {
    await env.DB.prepare(
      `UPDATE message_wake SET state = 'new', attempts = 0, next_at = ?, received_at = ?, lease_until = NULL, claimed_by = NULL
       WHERE wake_id = ? AND state = 'dead'`,
    )
      .bind(now + MINUTE, now, row.ref)
      .run();
    await env.WAKE_QUEUE.send({ wake_id: row.ref, kind: "message" });
  } else if (row.kind === "slo") {
    await env.SLO_QUEUE.send(JSON.parse(row.payload) as SloMessage);
  }
}
