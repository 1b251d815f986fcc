import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { operatorApi } from "../../lib/api";
import { bundleWorker } from "../../lib/bundle";
import { type LocalRuntime, startRuntime } from "../../lib/runtime";
import { SANDBOX_VARS } from "../../lib/sandbox";
import { type Person, people, SIGNING, TEAM } from "./hooks";
import { type Peer, startPeer } from "./peer";

/** Reveille on bare workerd with the bare Worker beside it, each on its own socket, and the plain servers on the same disk. */

export const PATH = "/webhooks/slack/bench/events";
const COMPATIBILITY_DATE = "2026-04-20";
/** Each is a chat of its own. Their facts are read anew every few seconds, as in the field. */
const PEOPLE = 8;

export interface Home {
  /** What a gateway dials with. */
  id: string;
  secret: string;
  who: Person[];
}

export interface Stage {
  rt: LocalRuntime;
  edge: string;
  bare: string;
  peer: Peer;
  /** A new instance with people linked to it and a gateway of its own. */
  home(name: string, n?: number): Promise<Home>;
}

export const MEMORY = "/dev/shm";

/** Is there a folder in memory with room for a run? */
export function hasMemory(): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize > 2 ** 30;
  } catch {
    return false;
  }
}

export interface StageOptions {
  folder?: string;
  clockRate?: number;
  edgeEntry?: string;
}

/** Starts all of it, runs `work`, and leaves nothing behind. */
export async function onStage<T>(options: StageOptions, work: (stage: Stage) => Promise<T>): Promise<T> {
  const { folder = tmpdir(), ...more } = options;
  const dataDir = mkdtempSync(join(folder, "reveille-bench-"));
  const code = await bundleWorker("scripts/bench/connector/bare.worker.ts");
  const rt = await startRuntime({
    port: 0,
    dataDir,
    vars: {
      ...SANDBOX_VARS,
      REVEILLE_VAULT_KEY: "5a".repeat(32),
      REVEILLE_GATEWAY_KEY: "6b".repeat(32),
      REVEILLE_SLACK_SIGNING_SECRET: SIGNING,
      REVEILLE_DELIVERY_ROWS: "1000000",
    },
    beside: [
      {
        name: "bare",
        modules: [{ type: "ESModule", path: "index.mjs", contents: code }],
        compatibilityDate: COMPATIBILITY_DATE,
        durableObjects: { STORE: { className: "Store", useSQLite: true } },
      },
    ],
    ...more,
  });
  let peer: Peer | null = null;
  try {
    peer = await startPeer(dataDir);
    const api = operatorApi(rt.url, SANDBOX_VARS["REVEILLE_OPERATOR_TOKEN"]!);
    await api.call("POST", "/api/v1/tenants", { id: "bench" });
    return await work({
      rt,
      edge: await rt.direct("reveille"),
      bare: await rt.direct("bare"),
      peer,
      home: async (name, n = PEOPLE) => {
        const who = people(name.toUpperCase(), n);
        const of = { tenant: "bench", instance: name };
        const made = await api.call<{ gateway: { id: string }; secret: string }>("POST", "/api/v1/gateways", {
          ...of,
          identities: [{ platform: "slack", bot_id: "" }],
        });
        for (const { user } of who)
          await api.call("POST", "/api/v1/bindings", { ...of, platform: "slack", user_id: user, scope_id: TEAM });
        return { id: made.gateway.id, secret: made.secret, who };
      },
    });
  } finally {
    peer?.close();
    await rt.stop().catch(() => {});
    rmSync(dataDir, { recursive: true, force: true });
  }
}
