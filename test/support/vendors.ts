import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { type FlyBehaviour, makeFly } from "./fly-machines";
import {
  type Answer,
  doppler,
  sentryIssues,
  supabaseAuthHealth,
  supabaseHealth,
  vercelDeployments,
} from "./vendor-replies";

/**
 * The watched vendors and one plain service as the outside world shows them, on one port of 127.0.0.1: `/supabase`, `/fly`,
 * `/vercel`, `/sentry`, `/doppler`, `/svc`. `POST /_control` sets how each behaves, `GET /_ledger` tells what it received.
 * `/reply/<base64url of {status, body, headers}>/...` answers just that, whatever follows. A TCP listener echoes on a second port.
 */

export const VENDOR_NAMES = ["supabase", "fly", "vercel", "sentry", "doppler", "svc"] as const;
export type VendorName = (typeof VENDOR_NAMES)[number];

export interface Behaviour extends Omit<FlyBehaviour, "mode"> {
  /**
   * `ok`, a status code ("401", "404", "429", "503"), `5xx`, `5xx_once`, `hang`, `hang_body`, `reset`, `reset_once`, `garbage` (JSON of another
   * form), `text` (not JSON), `html`, `huge` (2 MiB), `empty`, or a state of the vendor's own (vendor-replies.ts).
   */
  mode: string;
  /** Supabase only: behaves so on one leg, `management` or `data`. */
  leg?: "management" | "data";
  /** Only requests whose path holds this text; others are `ok`. */
  only?: string;
  retry_after?: string;
  /** Ms before each answer. */
  delay?: number;
  /** Sentry's X-Hits. */
  hits?: number;
}

export interface Control extends Partial<Record<VendorName, Behaviour>> {
  /** Every error body, and every field a vendor might quote a caller in, repeats the credentials of the request in many forms. */
  echo_auth?: boolean;
  reset?: boolean;
}

export interface LedgerRow {
  vendor: string;
  method: string;
  /** Path with query, below the vendor's prefix. */
  path: string;
  /** Names only. */
  headers: string[];
  /** First word of `authorization`, e.g. "Bearer". */
  scheme: string | null;
  at: number;
}

export interface Vendors {
  url: string;
  port: number;
  tcpPort: number;
  /** Sets behaviour without HTTP. */
  control(change: Control): void;
  ledger(): LedgerRow[];
  state: Record<VendorName, Behaviour>;
  close(): Promise<void>;
}

const allOk = (): Record<VendorName, Behaviour> => ({
  supabase: { mode: "ok" },
  fly: { mode: "ok" },
  vercel: { mode: "ok" },
  sentry: { mode: "ok" },
  doppler: { mode: "ok" },
  svc: { mode: "ok" },
});

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function bodyOf(req: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function json(res: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  res.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** The caller's secrets as a careless server would repeat them: raw, whole header, base64 at three alignments, URL-encoded, JSON-escaped, hex. */
function echoes(req: IncomingMessage): string {
  const raw = [req.headers.authorization, req.headers["apikey"], req.headers["x-api-key"]].flatMap((h) =>
    typeof h === "string" ? [h] : [],
  );
  const values = raw.flatMap((h) => [h, h.replace(/^(Bearer|FlyV1)\s+/i, "")]);
  return values
    .flatMap((v) => [
      v,
      ...["", "x", "xy"].map((lead) => Buffer.from(lead + v + lead).toString("base64")),
      Buffer.from(v).toString("base64url"),
      encodeURIComponent(v),
      encodeURIComponent(encodeURIComponent(v)),
      JSON.stringify(v).slice(1, -1),
      JSON.stringify(JSON.stringify(v)).slice(1, -1),
      [...v].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
      Buffer.from(v).toString("hex"),
    ])
    .join(" ");
}

/** Each vendor's own error form. */
function errorBody(vendor: VendorName, status: number, said: string): unknown {
  if (vendor === "fly") return { error: said, status: status === 401 ? "unauthenticated" : "error" };
  if (vendor === "vercel")
    return { error: { code: status === 403 ? "forbidden" : "error", message: said, invalidToken: status === 403 } };
  if (vendor === "sentry") return { detail: said };
  if (vendor === "doppler") return { messages: [said], success: false };
  return { message: said };
}

/** Modes any vendor can be in; false when the mode is the vendor's own affair. */
async function common(
  vendor: VendorName,
  b: Behaviour,
  req: IncomingMessage,
  res: ServerResponse,
  marks: string,
): Promise<boolean> {
  const fail = (status: number, headers: Record<string, string> = {}): boolean => {
    json(res, status, errorBody(vendor, status, `stand-in says ${status} ${marks}`.trim()), headers);
    return true;
  };
  if (b.delay) await sleep(b.delay);
  if (/^[1-5]\d\d$/.test(b.mode)) {
    const headers: Record<string, string> = b.mode === "429" ? { "retry-after": b.retry_after ?? "7" } : {};
    return fail(Number(b.mode), headers);
  }
  switch (b.mode) {
    case "5xx":
      return fail(503);
    case "5xx_once":
      b.mode = "ok";
      return fail(502);
    case "hang":
      return true;
    case "hang_body":
      res.writeHead(200, { "content-type": "application/json" }).write("[");
      return true;
    case "reset":
      req.socket.destroy();
      return true;
    case "reset_once":
      b.mode = "ok";
      req.socket.destroy();
      return true;
    case "garbage":
      json(res, 200, { unexpected: [1, { deep: marks || "x" }], services: "many" });
      return true;
    case "text":
      res.writeHead(200, { "content-type": "text/plain" }).end(`all good ${marks}`);
      return true;
    case "html":
      res
        .writeHead(200, { "content-type": "text/html" })
        .end(`<!doctype html><title>Maintenance</title><p>Back soon ${marks}</p>`);
      return true;
    case "empty":
      res.writeHead(200, { "content-type": "application/json" }).end();
      return true;
    case "huge":
      res.writeHead(200, { "content-type": "application/json" }).end(`["${"a".repeat(2 * 1_048_576)}"]`);
      return true;
    default:
      return false;
  }
}

function vendorAnswer(vendor: VendorName, b: Behaviour, url: URL, marks: string): Answer | null {
  const { pathname: path, searchParams: query } = url;
  const now = Date.now();
  if (vendor === "supabase") {
    if (/^\/v1\/projects\/[^/]+\/health$/.test(path)) {
      const services = query.getAll("services").flatMap((s) => s.split(","));
      if (services.length === 0) return { status: 400, body: { message: "services: Required" } };
      return supabaseHealth(b.mode, services, marks);
    }
    return path === "/auth/v1/health" ? supabaseAuthHealth() : null;
  }
  if (vendor === "vercel") return path === "/v6/deployments" ? vercelDeployments(b.mode, query, now, marks) : null;
  if (vendor === "sentry")
    return /^\/api\/0\/organizations\/[^/]+\/issues\/$/.test(path)
      ? sentryIssues(b.mode, query, now, marks, b.hits ?? null)
      : null;
  return vendor === "doppler" ? doppler(path, b.mode, now) : null;
}

/** `/svc`: a service of the operator's own. */
async function service(req: IncomingMessage, res: ServerResponse, url: URL): Promise<void> {
  const { pathname: path, searchParams: query } = url;
  if (path === "/redirect") {
    res.writeHead(Number(query.get("status") ?? 302), { location: query.get("to") ?? "/svc/ok" }).end();
    return;
  }
  if (path === "/slow") await sleep(Number(query.get("ms") ?? 100));
  if (path === "/json")
    return json(res, 200, { status: "ok", checks: [{ name: "db", state: "up", extra: { a: 1, b: [2] } }] });
  // A vendor's public status page, in the form Statuspage gives it.
  if (path === "/page/api/v2/status.json")
    return json(res, 200, {
      page: { name: "Vendor" },
      status: { indicator: "major", description: "Major outage in fra" },
    });
  if (path.startsWith("/status/")) return json(res, Number(path.slice(8)), { status: "as asked" });
  if (path === "/token") {
    // Only the right key opens it: shows that a credential was really sent.
    const ok = req.headers["x-api-key"] === query.get("want") || req.headers.authorization === query.get("want");
    return json(res, ok ? 200 : 401, { ok });
  }
  res.writeHead(200, { "content-type": "text/plain" }).end(req.method === "HEAD" ? "" : "all systems go");
}

export async function startVendors(port = 0): Promise<Vendors> {
  const state = allOk();
  let ledger: LedgerRow[] = [];
  let echo = false;
  const fly = makeFly();

  const control: Vendors["control"] = (change) => {
    if (change.reset) {
      Object.assign(state, allOk());
      ledger = [];
      echo = false;
    }
    // What was done to machines belongs to the fault before.
    if (change.reset || change.fly) fly.reset();
    for (const name of VENDOR_NAMES) if (change[name]) state[name] = { ...change[name] };
    if (change.echo_auth !== undefined) echo = change.echo_auth;
  };

  /** The behaviour that holds for this request. */
  function behaviour(vendor: VendorName, path: string): Behaviour {
    const b = state[vendor];
    if (b.only !== undefined && !path.includes(b.only)) return { mode: "ok" };
    if (b.leg === "management" && !path.startsWith("/v1/")) return { mode: "ok" };
    if (b.leg === "data" && path.startsWith("/v1/")) return { mode: "ok" };
    return b;
  }

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? "/", "http://stand.in");
    if (url.pathname === "/_control" && req.method === "POST") {
      control(JSON.parse((await bodyOf(req)).toString("utf8")) as Control);
      return json(res, 200, { state, echo_auth: echo });
    }
    if (url.pathname === "/_ledger") return json(res, 200, ledger);
    const [, first = "", ...rest] = url.pathname.split("/");
    if (first === "reply") {
      const asked = JSON.parse(Buffer.from(rest[0] ?? "", "base64url").toString("utf8")) as Answer;
      return json(res, asked.status, asked.body, asked.headers);
    }
    if (!(VENDOR_NAMES as readonly string[]).includes(first)) return json(res, 404, { error: "no such vendor" });
    const vendor = first as VendorName;
    url.pathname = `/${rest.join("/")}`;
    ledger.push({
      vendor,
      method: req.method ?? "",
      path: url.pathname + url.search,
      headers: Object.keys(req.headers),
      scheme: req.headers.authorization?.split(" ")[0] ?? null,
      at: Date.now(),
    });
    // A long run must not grow without end.
    if (ledger.length > 50_000) ledger.splice(0, 10_000);
    const marks = echo ? echoes(req) : "";
    const b = behaviour(vendor, url.pathname);
    if (await common(vendor, b, req, res, marks)) return;
    if (vendor === "svc") return service(req, res, url);
    if (!req.headers.authorization && !req.headers["apikey"])
      return json(res, 401, errorBody(vendor, 401, "no credential"));
    const nonce = req.headers["fly-machine-lease-nonce"];
    const answer =
      vendor === "fly"
        ? await fly.answer(
            b,
            {
              method: req.method ?? "",
              path: url.pathname,
              nonce: typeof nonce === "string" ? nonce : undefined,
              body: req.method === "POST" ? (await bodyOf(req)).toString("utf8") : "",
            },
            marks,
          )
        : vendorAnswer(vendor, b, url, marks);
    if (answer === "hang") return;
    if (answer) json(res, answer.status, answer.body, answer.headers);
    else json(res, 404, errorBody(vendor, 404, "not found"));
  }

  const server = createServer((req, res) => {
    handle(req, res).catch((error) => {
      if (!res.headersSent) json(res, 500, { error: String(error) });
    });
  });
  const sockets = new Set<Socket>();
  const tcp = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    tcpPort: (tcp.address() as AddressInfo).port,
    control,
    ledger: () => ledger,
    state,
    close: async () => {
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      await Promise.all([
        new Promise((resolve) => server.close(resolve)),
        new Promise((resolve) => tcp.close(resolve)),
      ]);
    },
  };
}
