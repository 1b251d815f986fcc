import { randomUUID } from "node:crypto";
import type { DrillClient } from "./drill-client";
import type { Ask, End, Scene, SessionView } from "./drill-client.types";
import { caughtUp, get, turns } from "./drill-http";
import { logFaults } from "./drill-stream";
import type { Frame } from "./onion-host";
import { keysOf } from "./onion-keys";

/** What owners, strangers and nobody can fetch, held against what was told. */

/** What the owner may fetch now is what it was told; nobody else may fetch anything. */
export async function verify(client: DrillClient, ask: Ask, told: End): Promise<void> {
  const { scene } = client;
  const { id } = client.session!;
  const found = await get(scene, `/sessions/${id}`, client.keys);
  const { status, result } = found?.body ?? {};
  if (scene.stopped()) return;
  if (found?.code !== 200)
    client.fault("lost", `${ask.tokens} ended ${told.status}, and its owner gets ${found?.text}`);
  else if (status !== told.status)
    client.fault(
      status === "running" ? "stuck" : "lost",
      `${ask.tokens} is ${told.status} by ${told.how}, ${status} by its record`,
    );
  else if (told.status === "done" && !ask.results.includes(String(result)))
    client.fault("wrong", `${ask.tokens}: told "${told.result}" by ${told.how}, fetched "${result}"`);
  if (scene.random() < 0.2) await strangers(client, id, ["", "/events"]);
}

/** Foreign and unknown look the same, and without a signature nothing is shown. */
async function strangers(client: DrillClient, id: string, paths: string[]): Promise<void> {
  const { scene } = client;
  const stranger = keysOf(randomUUID());
  for (const path of paths) {
    const [known, unknown, unsigned] = await Promise.all([
      get(scene, `/sessions/${id}${path}`, stranger),
      get(scene, `/sessions/${randomUUID()}${path}`, stranger),
      get(scene, `/sessions/${id}${path}`, null),
    ]);
    if (scene.stopped()) return;
    if (known?.code !== unknown?.code || known?.text !== unknown?.text || known?.code !== 404)
      client.fault("foreign", `${path} of ${id} shows a stranger ${known?.code} ${known?.text}`);
    if (unsigned?.code !== 401) client.fault("foreign", `${path} of ${id} shows anybody ${unsigned?.text}`);
  }
}

/** At the end: the record of each session, its history, and, of the built-in agent, its whole log. */
export async function audit(client: DrillClient): Promise<void> {
  client.line?.leave();
  for (const session of [...client.sessions]) {
    if (client.scene.stopped()) return;
    if (session.id === "" || session.last === null) continue;
    // The last of the list is the one a client works with.
    client.sessions.push(...client.sessions.splice(client.sessions.indexOf(session), 1));
    if (session.last.end) await verify(client, session.last, session.last.end);
    await strangers(client, session.id, [""]);
    await history(client, session);
  }
}

async function history(client: DrillClient, session: SessionView): Promise<void> {
  const frame = await opened(client, client.scene);
  if (frame === null || !client.line) return client.fault("lost", `session ${session.id} can't be opened at the end`);
  const said = turns(frame).map((t) => t.user);
  if (frame["status"] === "running") client.fault("stuck", `session ${session.id} runs at the end`);
  for (const token of session.tokens) {
    const n = said.filter((s) => s.includes(token)).length;
    if (n > 1) client.fault("doubled", `${token} stands ${n} times in its history`);
    const ask = client.asks.find((a) => a.tokens.includes(token));
    if (n === 0 && ask?.end?.status === "done") client.fault("lost", `${token} is not in its history`);
  }
  if (session.kind === "own") {
    client.status = false;
    const whole = await caughtUp(client.line, session.id, () => client.status);
    const log = session.lines.pop()!;
    if (!whole) client.fault("stuck", `the log of ${session.id} does not end`);
    else for (const { goal, what } of logFaults(session, log)) client.fault(goal, what);
  }
  client.line.leave();
  client.line = null;
}

async function opened(client: DrillClient, scene: Scene): Promise<Frame | null> {
  for (let i = 0; i < 20 && !scene.stopped(); i++) {
    const frame = await client.connect(null, true);
    if (frame !== null) return frame;
    await new Promise((r) => setTimeout(r, 250));
  }
  return null;
}
