import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCrons } from "../../scripts/lib/crons";
import { resourceNames, setDatabaseId } from "../../scripts/lib/deploy";
import { ROOT, WORKERS } from "../../scripts/lib/paths";
import { readPort, requirePort } from "../../scripts/lib/port";
import { listeningInodes } from "../../scripts/lib/processes";
import type { LocalRuntime } from "../../scripts/lib/runtime";
import { createVarsFile, localVars, readVarsFile } from "../../scripts/lib/vars";
import { readWorkerConfig } from "../../scripts/lib/worker-options";
import { PROBER_CRON, REPORT_CRON, TASKS_CRON } from "../../src/consumer/crons";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "reveille-start-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function occupied(): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  if (typeof address !== "object" || !address) throw new Error("no address");
  return { server, port: address.port };
}

describe("the port", () => {
  it("that is taken is refused with who has it and one that is free", async () => {
    const { server, port } = await occupied();
    try {
      const error = (await requirePort(port).catch((e: unknown) => e)) as { code: number; message: string };
      expect(error.code).toBe(3);
      const m = /^Port (\d+) is taken(?: by pid (\d+) \((.+)\))?\. {2}Use another: {2}PORT=(\d+) npm start$/.exec(
        error.message,
      );
      expect(m, error.message).not.toBeNull();
      expect(Number(m![1])).toBe(port);
      if (process.platform === "linux") expect(Number(m![2])).toBe(process.pid);
      expect(await requirePort(Number(m![4]))).toBe(Number(m![4]));
    } finally {
      server.close();
    }
  });

  it("must be a number; 0 picks a free one", async () => {
    for (const bad of ["abc", "65536", "-1", "80.5", ""]) expect(() => readPort(bad)).toThrow(/PORT is/);
    expect(await requirePort(readPort("0"))).toBeGreaterThan(0);
  });

  it("is found in /proc only where something listens on it", () => {
    const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
    const line = (port: string, state: string, inode: string): string =>
      `   0: 0100007F:${port} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1`;
    const table = [head, line("2253", "0A", "111"), line("2253", "01", "222"), line("2254", "0A", "333")].join("\n");
    expect(listeningInodes(table, 8787)).toEqual(["111"]);
  });
});

describe(".dev.vars", () => {
  it("is made once, with fresh secrets only its owner can read, and never overwritten", () => {
    const [a, b] = [join(dir, "a"), join(dir, "b")];
    expect([createVarsFile(a), createVarsFile(b), createVarsFile(a)]).toEqual([8, 8, 0]);
    expect(statSync(a).mode & 0o777).toBe(0o600);
    const [x, y] = [readVarsFile(a), readVarsFile(b)];
    expect(Object.keys(x).sort()).toEqual([
      "OPERATOR_TOKEN",
      "REVEILLE_AGENT_SEED",
      "REVEILLE_BEAT_KEY",
      "REVEILLE_GATEWAY_KEY",
      "REVEILLE_HOOK_KEY",
      "REVEILLE_HOOK_TOKEN",
      "REVEILLE_SESSION_KEY",
      "REVEILLE_VAULT_KEY",
    ]);
    expect(new Set([...Object.values(x), ...Object.values(y)]).size).toBe(16);
    for (const value of Object.values(x)) expect(value).toMatch(/^[0-9a-f]{64}$/);
    writeFileSync(b, "OPERATOR_TOKEN=mine\n");
    createVarsFile(b);
    expect(readFileSync(b, "utf8")).toBe("OPERATOR_TOKEN=mine\n");
  });

  it("is overridden by the shell's REVEILLE_* and PORT, never by an alias", () => {
    const vars = localVars(
      { OPERATOR_TOKEN: "file", PORT: "1" },
      { REVEILLE_OPERATOR_TOKEN: "shell", FLY_API_TOKEN: "not for us", PORT: "2", HOME: "/" },
    );
    expect(vars).toEqual({ OPERATOR_TOKEN: "file", REVEILLE_OPERATOR_TOKEN: "shell", PORT: "2" });
  });
});

describe("cron", () => {
  it("ticks the edge on each full minute and the consumer on each fifth, and says what fails", async () => {
    const at = Date.UTC(2026, 0, 1, 10, 4, 59, 950);
    const started = Date.now();
    const ticks: string[] = [];
    const said: string[] = [];
    const runtime = {
      tick: async (when?: number) => {
        ticks.push(`edge ${new Date(when!).toISOString()}`);
        throw new Error("handler failed");
      },
      consumerTick: async (when?: number) => void ticks.push(`consumer ${new Date(when!).toISOString()}`),
      consumerProber: async () => {},
    } as unknown as LocalRuntime;
    const crons = startCrons(
      runtime,
      (message) => said.push(message),
      () => at + (Date.now() - started),
    );
    await new Promise((done) => setTimeout(done, 200));
    crons.stop();
    expect(new Date(crons.firstAt).toISOString()).toBe("2026-01-01T10:05:00.000Z");
    expect(ticks).toEqual(["edge 2026-01-01T10:05:00.000Z", "consumer 2026-01-01T10:05:00.000Z"]);
    expect(said).toEqual(["handler failed"]);
  });
});

describe("the consumer's triggers", () => {
  it("are those of its wrangler file", async () => {
    expect((await readWorkerConfig("wrangler.consumer.toml")).crons).toEqual([REPORT_CRON, TASKS_CRON, PROBER_CRON]);
    const ticks: string[] = [];
    const at = Date.UTC(2026, 0, 1, 10, 5, 59, 950);
    const started = Date.now();
    const note = (what: string) => async () => void ticks.push(what);
    const runtime = {
      tick: note("edge"),
      consumerTick: note("report"),
      consumerTasks: note("tasks"),
      consumerProber: note("prober"),
    };
    const crons = startCrons(
      runtime as unknown as LocalRuntime,
      () => {},
      () => at + (Date.now() - started),
    );
    await new Promise((done) => setTimeout(done, 200));
    crons.stop();
    expect(ticks).toEqual(expect.arrayContaining(["tasks", "prober"]));
  });
});

describe("deploy", () => {
  it("knows every queue, bucket and the database of both wrangler files", () => {
    const names = resourceNames(WORKERS.map((w) => readFileSync(join(ROOT, w.config), "utf8")));
    expect(names.database).toBe("reveille");
    expect(names.queues).toEqual(
      expect.arrayContaining(["reveille-probe", "reveille-probe-dead", "reveille-wake", "reveille-wake-dead"]),
    );
    expect(names.buckets).toEqual(["reveille-media"]);
  });

  it("puts the database's id in and keeps the rest", () => {
    const before = 'database_name = "reveille"\ndatabase_id = "0000" # a comment\n';
    expect(setDatabaseId(before, "abcd")).toBe('database_name = "reveille"\ndatabase_id = "abcd" # a comment\n');
  });
});

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** A command of package.json, as its own process. */
function command(script: string, env: Record<string, string>, args: string[] = []): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--import", "tsx", script, ...args], {
      cwd: ROOT,
      env: { ...process.env, ...env },
    });
    const ended: Ended = { code: null, out: "", err: "" };
    child.stdout.on("data", (d) => (ended.out += d));
    child.stderr.on("data", (d) => (ended.err += d));
    child.once("error", reject);
    child.once("close", (code) => resolve({ ...ended, code }));
  });
}

describe("npm start that can't", () => {
  it("ends with 3 on a taken port, before it makes or starts anything", async () => {
    const { server, port } = await occupied();
    const data = join(dir, "data");
    try {
      const ended = await command("scripts/start.ts", { PORT: String(port), REVEILLE_DATA_DIR: data });
      expect(ended).toMatchObject({ code: 3, out: "" });
      expect(ended.err).toContain(`Port ${port} is taken`);
      expect(existsSync(data)).toBe(false);
    } finally {
      server.close();
    }
  });

  it("ends with 3 on a broken seed, naming file, line and reason", async () => {
    const seed = join(dir, "seed.yaml");
    const data = join(dir, "data");
    writeFileSync(seed, "- name: a\n  kind: nonsense\n");
    const ended = await command("scripts/start.ts", { PORT: "0", REVEILLE_SEED_FILE: seed, REVEILLE_DATA_DIR: data });
    expect(ended).toMatchObject({ code: 3, out: "" });
    expect(ended.err).toContain(`${seed}:2  kind must be one of`);
    expect(existsSync(data)).toBe(false);
  });
});

describe("npm run bench and drill", () => {
  it("end with 2 and the list when the name is unknown or missing", async () => {
    const unknown = await command("scripts/drill/index.ts", {}, ["nope"]);
    expect(unknown).toMatchObject({ code: 2, out: "" });
    expect(unknown.err).toMatch(/^There is no drill "nope"\.\nKnown:\n(.*\n)* {2}watch /);
    expect(await command("scripts/bench/index.ts", {})).toMatchObject({ code: 2, out: "" });
  });
});
