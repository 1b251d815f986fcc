import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import WebSocket from "ws";
import { type Relay, startRelay } from "./relay-kit";

/** A close that a client or an agent begins is completed at once: stock clients wait for half a minute otherwise. */

let relay: Relay | undefined;
beforeAll(async () => {
  relay = await startRelay();
}, 60_000);
afterAll(() => relay?.close());

it.each(["/ws/input", "/ws/announce", "/ws"])("%s", async (path) => {
  const ws = new WebSocket(relay!.ws + path, { perMessageDeflate: false });
  await once(ws, "open");
  const closed = once(ws, "close", { signal: AbortSignal.timeout(2_000) });
  ws.close(1000);
  expect((await closed)[0]).toBe(1000);
});
