/**
 * The bodies of the five vendors in their true form, with more fields than anyone reads, as the real ones have. Each function
 * takes the mode that `POST /_control` set; `now` is wall time in ms. `marks` is text planted where a vendor may quote a caller.
 */

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export interface Answer {
  status: number;
  body: Json;
  headers?: Record<string, string>;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const iso = (at: number): string => new Date(at).toISOString();

export function supabaseHealth(mode: string, services: string[], marks: string): Answer {
  const status = (name: string): string => {
    if (mode === `${name}_unhealthy`) return "UNHEALTHY";
    if (mode === `${name}_coming_up`) return "COMING_UP";
    return "ACTIVE_HEALTHY";
  };
  const body = services.map((name): Json => {
    const is = status(name);
    return {
      name,
      status: is,
      healthy: is === "ACTIVE_HEALTHY",
      ...(name === "auth"
        ? {
            info: {
              name: "GoTrue",
              version: "v2.180.0",
              description: "GoTrue is a user registration and authentication API",
            },
          }
        : {}),
      ...(is === "UNHEALTHY" ? { error: `connection refused ${marks}` } : {}),
    };
  });
  return {
    status: 200,
    body,
    headers: { "x-ratelimit-limit": "120", "x-ratelimit-remaining": "117", "x-ratelimit-reset": "42" },
  };
}

export const supabaseAuthHealth = (): Answer => ({
  status: 200,
  body: { version: "v2.180.0", name: "GoTrue", description: "GoTrue is a user registration and authentication API" },
});

interface MachineOptions {
  state?: string;
  autostop?: string | boolean;
  standbys?: string[];
  check?: string;
  source?: string;
  /** Ms since the last change. */
  age?: number;
}
export const FLY_MACHINES = ["148e21c9a45678", "3d8d7961b9e189", "e28650d1a74998"];
function flyMachine(id: string, now: number, marks: string, o: MachineOptions = {}): Json {
  const at = now - (o.age ?? 40 * MINUTE);
  const state = o.state ?? "started";
  return {
    id,
    name: `wispy-sky-${id.slice(0, 4)}`,
    state,
    region: `fra${marks}`,
    instance_id: "01KAD8Q7Z4N1M3PX9V5W2YB6CT",
    private_ip: "fdaa:2:b3b6:a7b:1b0:8f1:2c7d:2",
    config: {
      env: { FLY_PROCESS_GROUP: "app" },
      services: [
        {
          protocol: "tcp",
          internal_port: 8080,
          autostop: o.autostop ?? "off",
          autostart: true,
          min_machines_running: 1,
          ports: [{ port: 443, handlers: ["tls", "http"] }],
        },
      ],
      ...(o.standbys ? { standbys: o.standbys } : {}),
      guest: { cpu_kind: "shared", cpus: 1, memory_mb: 256 },
    },
    image_ref: { registry: "registry.fly.io", repository: "web", tag: "deployment-01KAD8", digest: "sha256:0f" },
    checks: [
      {
        name: "servicecheck-00-http-8080",
        status: o.check ?? "passing",
        output: `HTTP GET ok ${marks}`,
        updated_at: iso(now - MINUTE),
      },
    ],
    created_at: iso(now - 30 * DAY),
    updated_at: iso(at),
    events: [
      {
        id: "01KAD9",
        type: state === "stopped" ? "exit" : "start",
        status: state,
        source: o.source ?? "flyd",
        timestamp: at,
      },
      { id: "01KAD8", type: "launch", status: "created", source: "user", timestamp: now - 30 * DAY },
    ],
    host_status: "ok",
  };
}

export function flyMachines(mode: string, now: number, marks: string): Answer {
  const [a, b, c] = FLY_MACHINES as [string, string, string];
  const make = (id: string, o?: MachineOptions): Json => flyMachine(id, now, marks, o);
  const lists: Record<string, Json[]> = {
    ok: [make(a), make(b, { state: "stopped", autostop: "stop" }), make(c, { state: "destroyed" })],
    failed_machine: [make(a, { state: "failed" })],
    one_failed: [make(a, { state: "failed" }), make(b)],
    critical_check: [make(a, { check: "critical" })],
    stopped: [make(a, { state: "stopped" })],
    stopped_by_user: [make(a), make(b, { state: "stopped", source: "user" })],
    idle: [make(a, { state: "suspended", autostop: "suspend" })],
    standby: [make(a), make(b, { state: "stopped", standbys: [a] })],
    stuck: [make(a), make(b, { state: "starting", age: 6 * MINUTE })],
    starting: [make(a), make(b, { state: "starting", age: MINUTE })],
    updating: [make(a), make(b, { state: "updating", age: 9 * MINUTE })],
    no_machines: [],
    unknown_state: [make(a, { state: "quantum" })],
  };
  return { status: 200, body: lists[mode] ?? lists["ok"]! };
}

function vercelDeployment(n: number, at: number, state: string, marks: string, project = "prj_checkout"): Json {
  const uid = `dpl_${project.slice(4)}${String(n).padStart(4, "0")}`;
  return {
    uid,
    name: project.slice(4),
    projectId: project,
    url: `${project.slice(4)}-${n}.vercel.app`,
    created: at,
    createdAt: at,
    source: "git",
    state,
    readyState: state,
    readySubstate: "PROMOTED",
    type: "LAMBDAS",
    target: "production",
    creator: { uid: "u1", email: "dev@example.com", username: "dev" },
    inspectorUrl: `https://vercel.com/acme/x/${n}`,
    meta: {
      githubCommitSha: `${String(n).padStart(7, "0")}f3c1d2e4b5a697887766554433221100${marks}`,
      githubCommitRef: "main",
      githubCommitMessage: `fix ${marks}`,
    },
    aliasAssigned: at + MINUTE,
    isRollbackCandidate: false,
  };
}

export function vercelDeployments(mode: string, query: URLSearchParams, now: number, marks: string): Answer {
  const d = (n: number, ageMin: number, state: string, project?: string): Json =>
    vercelDeployment(n, now - ageMin * MINUTE, state, marks, project);
  const ready = (count: number, from = 60): Json[] =>
    Array.from({ length: count }, (_, i) => d(i + 1, from + i * 60, "READY"));
  const lists: Record<string, Json[]> = {
    ok: ready(3),
    none: [],
    latest_error: [d(9, 10, "ERROR"), ...ready(3)],
    error_then_building: [d(10, 2, "BUILDING"), d(9, 10, "ERROR"), ...ready(3)],
    error_then_canceled: [d(10, 2, "CANCELED"), d(9, 10, "READY"), ...ready(3)],
    error_twice: [d(10, 10, "ERROR"), d(9, 30, "ERROR"), ...ready(3)],
    error_rate: [d(20, 5, "READY"), d(19, 15, "ERROR"), d(18, 25, "ERROR"), ...ready(4)],
    few_errors: [d(20, 5, "READY"), d(19, 15, "ERROR"), ...ready(2)],
    stuck_build: [d(9, 25, "BUILDING"), ...ready(2)],
    building: [d(9, 5, "QUEUED"), ...ready(2)],
    unknown_state: [d(9, 5, "FAILED")],
    two_projects: [d(9, 10, "READY"), d(8, 20, "ERROR", "prj_docs"), ...ready(2)],
  };
  if (mode === "many_pages") {
    // Five pages of 100 within one day; a caller that follows them all would be seen in the ledger.
    const page = query.has("until") ? Math.round((now - Number(query.get("until"))) / (100 * MINUTE)) : 0;
    const from = page * 100;
    const body = Array.from({ length: 100 }, (_, i) => d(from + i, from + i + 1, "READY"));
    return {
      status: 200,
      body: { deployments: body, pagination: { count: 100, next: now - (page + 1) * 100 * MINUTE, prev: null } },
    };
  }
  const list = lists[mode] ?? lists["ok"]!;
  return { status: 200, body: { deployments: list, pagination: { count: list.length, next: null, prev: now } } };
}

function sentryIssue(
  n: number,
  now: number,
  o: { level?: string; users?: number; age?: number; title?: string; substatus?: string },
): Json {
  return {
    id: String(4_500_000_000 + n),
    shortId: `SHOP-${n}`,
    title: o.title ?? "TypeError: Cannot read properties of undefined (reading 'total')",
    culprit: "checkout/cart in total",
    permalink: `https://acme.sentry.io/issues/${4_500_000_000 + n}/`,
    level: o.level ?? "error",
    status: "unresolved",
    substatus: o.substatus ?? "new",
    platform: "javascript",
    project: { id: "450", name: "shop", slug: "shop", platform: "javascript" },
    type: "error",
    metadata: { type: "TypeError", value: "Cannot read properties of undefined" },
    assignedTo: null,
    count: "42",
    userCount: o.users ?? 7,
    firstSeen: iso(now - (o.age ?? 10 * MINUTE)),
    lastSeen: iso(now - MINUTE),
  };
}

export function sentryIssues(
  mode: string,
  query: URLSearchParams,
  now: number,
  marks: string,
  hits: number | null,
): Answer {
  const search = query.get("query") ?? "";
  const isNew = search.includes("is:new");
  const isRegressed = search.includes("is:regressed");
  const issue = (n: number, o: Parameters<typeof sentryIssue>[2]): Json => sentryIssue(n, now, o);
  let list: Json[] = [];
  if (!isNew && !isRegressed) list = [issue(1, { age: 30 * DAY, substatus: "ongoing" })];
  else if (isNew && mode === "new_issue")
    list = [issue(2, { title: `TypeError ${marks}` }), issue(3, { level: "warning" })];
  else if (isNew && mode === "new_warning") list = [issue(3, { level: "warning" })];
  else if (isNew && mode === "new_few_users") list = [issue(4, { users: 0 })];
  else if (isNew && mode === "old_new") list = [issue(5, { age: 3 * DAY })];
  else if (isRegressed && mode === "regressed") list = [issue(6, { age: 60 * DAY, substatus: "regressed" })];
  const total = hits ?? (mode === "backlog" ? 500 : 12);
  return {
    status: 200,
    body: list,
    headers: {
      "x-hits": String(total),
      "x-max-hits": "1000",
      link: '<https://sentry.io/api/0/organizations/acme/issues/?&cursor=0:0:1>; rel="previous"; results="false"; cursor="0:0:1"',
    },
  };
}

export function doppler(path: string, mode: string, now: number): Answer {
  if (path === "/v3/me")
    return {
      status: 200,
      body: {
        workplace: { name: "Acme", slug: "acme" },
        type: "service_account",
        token_preview: "dp.sa...x7Qz",
        slug: "8d3c0a5e-0000-4000-8000-000000000000",
        name: "watch",
        created_at: iso(now - 90 * DAY),
        last_seen_at: iso(now),
      },
    };
  if (path === "/v3/projects")
    return {
      status: 200,
      body: {
        page: 1,
        projects: [{ id: "shop", slug: "shop", name: "shop", description: "", created_at: iso(now - 400 * DAY) }],
        success: true,
      },
    };
  if (path === "/v3/configs")
    return {
      status: 200,
      body: {
        page: 1,
        configs: ["dev", "prd"].map(
          (name): Json => ({
            name,
            root: true,
            locked: false,
            environment: name,
            project: "shop",
            created_at: iso(now - 400 * DAY),
            initial_fetch_at: iso(now - 399 * DAY),
            last_fetch_at: iso(now - HOUR),
          }),
        ),
        success: true,
      },
    };
  if (path === "/v3/logs") {
    const change = (id: string, config: string, age: number): Json => ({
      id,
      text: `Modified secrets in ${config}`,
      html: `<b>Modified</b>`,
      created_at: iso(now - age),
      project: "shop",
      environment: config,
      config,
      user: { email: "dev@example.com", name: "Dev", username: "dev", profile_image_url: "" },
    });
    return {
      status: 200,
      body: {
        page: 1,
        logs: [change("l1", "dev", 30 * MINUTE), change("l2", "prd", mode === "stale" ? 200 * DAY : 20 * DAY)],
        success: true,
      },
    };
  }
  return { status: 404, body: { messages: ["Not found"], success: false } };
}
