import { type Answer, flyMachines } from "./vendor-replies";

/**
 * Fly's Machines API beyond the list: one machine, its lease, start and restart. A machine that was acted on changes after a
 * delay, as `fix` says. A lease held by somebody else, or a wrong nonce, is 409 as at Fly.
 */

export interface FlyBehaviour {
  mode: string;
  /** What a start or restart does; default `restart_fixes`. */
  fix?:
    | "restart_fixes"
    | "restart_no_change"
    | "restart_worse"
    /** The lease is in other hands. */
    | "lease_conflict"
    /** 503 to the act; nothing happens. */
    | "5xx"
    /** 412 to the act; nothing happens. */
    | "refuse"
    /** No answer to the act; nothing happens. */
    | "hang"
    /** No answer to the act, and yet it works. */
    | "apply_then_hang"
    /** The act answers and works, but the machine can't be read any more. */
    | "then_unreadable";
  /** Ms from the act to its effect. */
  fix_delay?: number;
  /** Ms before the act is answered: two callers overlap. */
  act_delay?: number;
}

type Machine = Record<string, unknown> & { id: string; state: string };
interface Change {
  at: number;
  state: string;
  check: string;
}
interface Lease {
  nonce: string;
  until: number;
}

/** `"hang"`: the request is taken and never answered. */
export type FlyAnswer = Answer | "hang" | null;

export function makeFly() {
  const changes = new Map<string, Change>();
  const leases = new Map<string, Lease>();
  let unreadable = false;
  let serial = 0;

  const reset = (): void => {
    changes.clear();
    leases.clear();
    unreadable = false;
  };

  /** The list as the mode says, with what was done to its machines since. */
  function list(b: FlyBehaviour, app: string, now: number, marks: string): Machine[] {
    const machines = flyMachines(b.mode, now, marks).body as unknown as Machine[];
    return machines.map((m) => {
      const change = changes.get(`${app}/${m.id}`);
      if (!change || change.at > now) return m;
      const checks = (m["checks"] as Record<string, unknown>[]).map((c) => ({ ...c, status: change.check }));
      return { ...m, state: change.state, checks, updated_at: new Date(change.at).toISOString() };
    });
  }

  const error = (status: number, message: string): Answer => ({
    status,
    body: { status: "error", message, code: "invalid" },
  });

  function leaseOf(key: string, now: number): Lease | null {
    const held = leases.get(key);
    return held && held.until > now ? held : null;
  }

  /** One request below `/fly`. Null: no such path. */
  async function answer(
    b: FlyBehaviour,
    req: { method: string; path: string; nonce: string | undefined; body: string },
    marks: string,
  ): Promise<FlyAnswer> {
    const m = /^\/v1\/apps\/([^/]+)\/machines(?:\/([^/]+))?(?:\/(lease|start|restart))?$/.exec(req.path);
    if (!m) return null;
    const [, app = "", id, verb] = m;
    const now = Date.now();
    if (id === undefined) return { status: 200, body: list(b, app, now, marks) as never };
    const key = `${app}/${id}`;
    const machine = list(b, app, now, marks).find((x) => x.id === id);
    if (!machine) return error(404, `machine ${id} not found ${marks}`);
    if (verb === undefined) return unreadable ? error(503, "try later") : { status: 200, body: machine as never };
    const held = leaseOf(key, now);
    if (verb === "lease") {
      if (req.method === "DELETE") {
        if (!held || held.nonce !== req.nonce) return error(404, "lease not found");
        leases.delete(key);
        return { status: 200, body: { ok: true } };
      }
      if (b.fix === "lease_conflict" || held)
        return error(409, `machine ID ${id} lease currently held by ops@example.com ${marks}`);
      const { ttl = 60 } = JSON.parse(req.body || "{}") as { ttl?: number };
      const nonce = `n${(++serial).toString(16).padStart(11, "0")}`;
      leases.set(key, { nonce, until: now + ttl * 1_000 });
      const expires_at = Math.floor(now / 1_000) + ttl;
      return { status: 201, body: { status: "success", data: { nonce, expires_at, owner: "bot@example.com" } } };
    }
    if (held && held.nonce !== req.nonce) return error(409, `machine ID ${id} lease currently held`);
    return act(b, key, verb as "start" | "restart", machine, marks);
  }

  async function act(
    b: FlyBehaviour,
    key: string,
    verb: "start" | "restart",
    machine: Machine,
    marks: string,
  ): Promise<FlyAnswer> {
    const before = machine.state;
    if (b.fix === "5xx") return error(503, `upstream ${marks}`);
    if (b.fix === "refuse") return error(412, `failed_precondition ${marks}`);
    if (b.fix === "hang") return "hang";
    const at = Date.now() + (b.fix_delay ?? 300);
    if (b.fix === "restart_worse") changes.set(key, { at, state: "failed", check: "critical" });
    else if (b.fix !== "restart_no_change") changes.set(key, { at, state: "started", check: "passing" });
    if (b.act_delay) await new Promise((resolve) => setTimeout(resolve, b.act_delay));
    if (b.fix === "apply_then_hang") return "hang";
    if (b.fix === "then_unreadable") unreadable = true;
    return {
      status: 200,
      body: verb === "start" ? { previous_state: before, migrated: false, new_host: "" } : { ok: true },
    };
  }

  return { answer, reset };
}
