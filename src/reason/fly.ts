import * as z from "zod";
import { describe } from "../kernel/errors";
import { readCapped } from "../kernel/http";
import { type AllowEntry, guardedFetch, isPrivateHost } from "../kernel/net-guard";
import type { Redactor } from "../kernel/redact";
import { flyAuthorization, flyMachine, flyRole, type Json } from "../watch";
import { type FixVerb, LEASE_TTL_S } from "./autofix";

/** The few calls of Fly's Machines API that a fix makes (`kora-watch.md` §4.3). The token is in a header and nowhere else. */

const BODY_CAP = 1_048_576;

export interface FlyApi {
  /** The target's `api_url`. */
  api: string;
  app: string;
  machine: string;
  token: string;
  allow: AllowEntry[];
  redact: Redactor;
  /** Wall ms one call may take. */
  call_ms: number;
}

/**
 * `refused`: the vendor answered no, so nothing was done. `lost`: nobody can tell (no answer, a 5xx): the call may have been
 * applied. `guarded`: our own guard kept it back.
 */
export type FlyFail = { ok: false; kind: "refused" | "lost" | "guarded"; status: number | null; error: string };
export type FlyReply<T> = { ok: true; value: T } | FlyFail;

/** Vendor words as one short line without secrets. */
const line = (api: FlyApi, text: string): string =>
  api.redact
    .text(text)
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, " ")
    .trim()
    .slice(0, 200);

/** Hosts that may see a write token: Fly's own, or a private one that the configuration allows by name. */
export function mayHoldToken(apiUrl: string): boolean {
  const url = URL.canParse(apiUrl) ? new URL(apiUrl) : null;
  if (url === null) return false;
  return (url.hostname === "api.machines.dev" && url.protocol === "https:") || isPrivateHost(url.hostname);
}

async function call(
  api: FlyApi,
  method: "GET" | "POST" | "DELETE",
  path: string,
  more: { nonce?: string; body?: unknown } = {},
): Promise<FlyReply<unknown>> {
  const fail = (kind: FlyFail["kind"], status: number | null, error: string): FlyFail => ({
    ok: false,
    kind,
    status,
    error: line(api, error),
  });
  const base = `${api.api.replace(/\/+$/, "")}/v1/apps/${encodeURIComponent(api.app)}/machines/${encodeURIComponent(api.machine)}`;
  if (!mayHoldToken(api.api)) return fail("guarded", null, "api_url is not a host that may see the write token.");
  // A line break or a non-ASCII character would make the runtime print the header, token and all.
  if (!/^[\x20-\x7e]+$/.test(api.token))
    return fail("guarded", null, "REVEILLE_FLY_WRITE_TOKEN can't be sent in a header.");
  const signal = AbortSignal.timeout(api.call_ms);
  try {
    const { response } = await guardedFetch(
      new URL(`${base}${path}`),
      {
        method,
        headers: {
          authorization: flyAuthorization(api.token),
          accept: "application/json",
          "user-agent": "reveille-fix/1",
          ...(more.nonce === undefined ? {} : { "fly-machine-lease-nonce": more.nonce }),
          ...(more.body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(more.body === undefined ? {} : { body: JSON.stringify(more.body) }),
        signal,
        // A redirect would carry a write somewhere nobody configured.
        follow: false,
      },
      api.allow,
    );
    const { bytes, truncated } = await readCapped(response.body, BODY_CAP);
    const text = new TextDecoder().decode(bytes);
    const { status } = response;
    if (status >= 200 && status < 300) return { ok: true, value: truncated ? null : parse(text) };
    return fail(status >= 500 || status === 408 ? "lost" : "refused", status, `HTTP ${status}${words(text)}`);
  } catch (error) {
    if (error instanceof Error && error.name === "ReveilleError") return fail("guarded", null, error.message);
    return fail("lost", null, signal.aborted ? `no answer within ${api.call_ms / 1_000} s` : describe(error));
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function words(text: string): string {
  const body = z.object({ message: z.string().optional(), error: z.string().optional() }).safeParse(parse(text)).data;
  const said = body?.message ?? body?.error;
  return said ? `: ${said}` : "";
}

const facts = flyMachine.extend({
  name: z.string().nullish(),
  region: z.string().nullish(),
  instance_id: z.string().nullish(),
});

/** A machine now: what is kept of it, and what it is doing. */
export interface MachineNow {
  state: string;
  role: ReturnType<typeof flyRole>;
  /** id, name, state, region, instance_id and its checks: what rows keep (`kora-watch.md` §4.2). */
  kept: Record<string, Json>;
}

export async function readMachine(api: FlyApi, wallNow: number): Promise<FlyReply<MachineNow>> {
  const got = await call(api, "GET", "");
  if (!got.ok) return got;
  const parsed = facts.safeParse(got.value);
  if (!parsed.success || parsed.data.id !== api.machine)
    return {
      ok: false,
      kind: "lost",
      status: 200,
      error: "Fly answered, but not with this machine in the known form.",
    };
  const m = parsed.data;
  const text = (value: string | null | undefined): string | null => (value ? line(api, value).slice(0, 80) : null);
  return {
    ok: true,
    value: {
      state: m.state,
      role: flyRole(m, wallNow),
      kept: {
        id: m.id,
        name: text(m.name),
        state: m.state,
        region: text(m.region),
        instance_id: text(m.instance_id),
        checks: (m.checks ?? []).slice(0, 10).map((c) => line(api, c.status).slice(0, 20)),
      },
    },
  };
}

const lease = z.object({ data: z.object({ nonce: z.string().regex(/^[\x21-\x7e]{1,200}$/) }) });
const bareLease = z.object({ nonce: z.string().regex(/^[\x21-\x7e]{1,200}$/) });

/** Takes the machine's lease, so that nobody else changes it meanwhile. The value is the nonce; it is not kept in any row. */
export async function takeLease(api: FlyApi): Promise<FlyReply<string>> {
  const got = await call(api, "POST", "/lease", { body: { ttl: LEASE_TTL_S } });
  if (!got.ok) return got;
  const nonce = lease.safeParse(got.value).data?.data.nonce ?? bareLease.safeParse(got.value).data?.nonce;
  if (nonce === undefined) return { ok: false, kind: "lost", status: 200, error: "Fly gave a lease without a nonce." };
  return { ok: true, value: nonce };
}

export const releaseLease = (api: FlyApi, nonce: string): Promise<FlyReply<unknown>> =>
  call(api, "DELETE", "/lease", { nonce });

/** The one write. */
export const actOn = (api: FlyApi, verb: FixVerb, nonce: string): Promise<FlyReply<unknown>> =>
  call(api, "POST", `/${verb}`, { nonce });

const PAUSES_MS = [500, 1_000, 2_000];

/** States a machine does not come back from by itself. */
const SUNK = new Set(["failed", "launch_failed", "destroying", "destroyed", "replaced", "migrated"]);
export const sunk = (state: string): boolean => SUNK.has(state);

/**
 * Looks at the machine until it serves (started, no check that is not passing) or `poll_ms` of wall time are over. Null when
 * it could never be read. A machine that is seen failed twice is not waited for.
 */
export async function awaitServing(
  api: FlyApi,
  before: string,
  poll_ms: number,
  wall: () => number,
): Promise<{ machine: MachineNow; serving: boolean } | null> {
  const end = wall() + poll_ms;
  let last: MachineNow | null = null;
  let sank = 0;
  for (let i = 0; ; i++) {
    const pause = Math.min(PAUSES_MS[Math.min(i, PAUSES_MS.length - 1)]!, Math.max(0, end - wall()));
    await new Promise((resolve) => setTimeout(resolve, pause));
    const got = await readMachine(api, wall());
    if (got.ok) {
      last = got.value;
      const checks = Array.isArray(last.kept["checks"]) ? last.kept["checks"] : [];
      if (last.role === "serving" && checks.every((c) => c === "passing")) return { machine: last, serving: true };
      sank = sunk(last.state) && !sunk(before) ? sank + 1 : 0;
      if (sank > 1) return { machine: last, serving: false };
    }
    if (wall() >= end) return last === null ? null : { machine: last, serving: false };
  }
}
