import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Qoopia } from "../../test/support/qoopia";
import type { QoopiaLedger } from "../../test/support/qoopia.types";
import type { WakeReceiver } from "../../test/support/wake-receiver";
import type { Knock } from "../../test/support/wake-receiver.types";
import type { Sandbox } from "../lib/sandbox";

/** `npm run drill -- slo`: the steps it kills between, the gates that see them from outside, and the agents that are woken. */

/** A step of a wake, as the outside can see it; the kill comes there and before the next. */
export const POINTS = [
  /** The push is on its way in, its answer not out. */
  "received",
  /** Accepted: in its rows and its queues. */
  "queued",
  /** The responder holds the probe and asks for the ack, which the peer never gets. */
  "claimed",
  /** The peer has taken the ack; its answer is lost. */
  "ack taken",
  /** The ack is written; the reply never gets to the peer. */
  "acked",
  /** The peer has taken the reply; its answer is lost. */
  "reply taken",
  /** The reply's answer is out; nothing of it may be written yet. */
  "replied",
  "message claimed",
  "message taken",
  "message delivered",
] as const;
export type Point = (typeof POINTS)[number];

/** Tells that a wake is at a point. True: the runtime was killed in this very tick, so nothing goes on. */
export type Reach = (point: Point) => boolean;

/** One call through a gate. */
export interface Pass {
  /** Which start of the runtime made it. */
  life: number;
  /** When its whole answer was handed back, wall ms; null: it never was. */
  answered_at: number | null;
}

export interface Gate {
  url: string;
  passes: Pass[];
  close(): Promise<void>;
}

/** The header that tells a ledger which pass brought a call. */
export const PASS_HEADER = "x-drill-pass";

type Stage = "asked" | "done" | "answered";

/** Hands calls on to `target` and their answers back, and stops where the runtime is killed. */
export async function startGate(
  target: string,
  life: () => number,
  reach: (stage: Stage, body: string) => boolean,
): Promise<Gate> {
  const passes: Pass[] = [];
  const server = createServer((req, res) => {
    const work = async (): Promise<void> => {
      const body = await readBody(req);
      const pass: Pass = { life: life(), answered_at: null };
      const n = passes.push(pass) - 1;
      if (reach("asked", body)) return void res.destroy();
      const headers = new Headers({ [PASS_HEADER]: String(n) });
      for (const [name, value] of Object.entries(req.headers))
        if (typeof value === "string" && !/^(host|connection|content-length|transfer-encoding)$/.test(name))
          headers.set(name, value);
      const answer = await fetch(target + req.url, { method: req.method ?? "POST", headers, body });
      const bytes = Buffer.from(await answer.arrayBuffer());
      if (reach("done", body)) return void res.destroy();
      res.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "application/json" });
      res.end(bytes, () => {
        pass.answered_at = Date.now();
        reach("answered", body);
      });
    };
    work().catch(() => res.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passes,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function readBody(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}

/** The gate before the agents' peer, and the one before the receivers of real messages. */
export async function startGates(
  peer: Qoopia,
  receiver: WakeReceiver,
  life: () => number,
  reach: Reach,
): Promise<{ peer: Gate; receiver: Gate }> {
  const steps: Record<string, Partial<Record<Stage, Point>>> = {
    agent_ack: { asked: "claimed", done: "ack taken" },
    agent_reply: { asked: "acked", done: "reply taken", answered: "replied" },
  };
  const messages: Record<Stage, Point> = {
    asked: "message claimed",
    done: "message taken",
    answered: "message delivered",
  };
  const tool = (body: string): string => (JSON.parse(body) as { params?: { name?: string } }).params?.name ?? "";
  return {
    peer: await startGate(peer.url, life, (stage, body) => {
      const point = steps[tool(body)]?.[stage];
      return point !== undefined && reach(point);
    }),
    receiver: await startGate(receiver.url, life, (stage) => reach(messages[stage])),
  };
}

export interface Agent {
  name: string;
  id: string;
  hook: string;
  secret: string;
  /** Which probes exist at the peer: their recipient alone may answer them. */
  tell(probes: { id: string; session: string }[]): Promise<void>;
  /** What the peer did for it. */
  ledger(): Promise<QoopiaLedger>;
  /** What its receiver of real messages got. */
  knocks(): Promise<Knock[]>;
}

export const SENDER = { id: "01DRILLNORTH", name: "north" };
const AGENTS = 4;

/** Agents with a hook, a key at the peer and a receiver each. */
export async function assemble(
  box: Sandbox,
  peer: Qoopia,
  receiver: WakeReceiver,
  gates: { peer: Gate; receiver: Gate },
): Promise<Agent[]> {
  const agents: Agent[] = [];
  for (let i = 0; i < AGENTS; i++) {
    const name = `south-${i}`;
    const id = `01DRILLSOUTH${i}`;
    const key = `q_drill-slo-key-of-agent-number-${i}-0123456789`;
    const secret = `drill-slo-hook-secret-${i}-5f1c`;
    const { id: hook } = await box.api.call<{ id: string }>("POST", "/api/v1/hooks", {
      ...{ title: name, agent_id: id, agent_name: name, secret, auth_mode: "hmac", slo_key: key },
      hmac: { header: "X-Webhook-Signature" },
      recipient: { kind: "webhook", url: `${gates.receiver.url}/wake/${name}` },
      slo: { peer_url: `${gates.peer.url}/${name}`, ack_mode: "required" },
    });
    agents.push({
      ...{ name, id, hook, secret },
      tell: async (probes) => {
        const messages = probes.map((p) => ({ ...p, from: SENDER.id, to: id }));
        const change = { method: "POST", body: JSON.stringify({ keys: { [key]: id }, messages }) };
        await (await fetch(`${peer.url}/${name}/_control`, change)).text();
      },
      ledger: async () => (await fetch(`${peer.url}/${name}/_ledger`)).json(),
      knocks: async () => (await fetch(`${receiver.url}/_ledger/${name}`)).json(),
    });
  }
  return agents;
}
