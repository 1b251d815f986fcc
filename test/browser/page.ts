import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { bundleClient } from "../../scripts/lib/client-bundle";

/** A page as anybody might write it with the typed client, on an origin of its own. `edge`: where Reveille is. */
export async function servePage(edge: string): Promise<{ url: string; close(): Promise<void> }> {
  const { code } = await bundleClient();
  const html = `<!doctype html><title>talk</title>
<p id="session"></p><p id="address"></p><p id="state"></p><ol id="events"></ol><ol id="news"></ol><p id="answer"></p>
<input id="prompt"><button id="ask" disabled>Ask</button>
<script type="module">
import { connect } from "/client.js";
const at = (id) => document.getElementById(id);
const line = (list, text) => at(list).append(Object.assign(document.createElement("li"), { textContent: text }));
const follow = async (run) => {
  for await (const event of run) line("events", event.seq + " " + event.type);
  at("answer").textContent = (await run.answer).text;
};
const session = await connect({ url: ${JSON.stringify(edge)}, reconnectAttempts: 2, pollIntervalMs: 100 });
for (const kind of ["reconnecting", "polling"]) session.on(kind, () => line("news", kind));
at("session").textContent = session.id;
at("address").textContent = session.address;
const found = session.resume();
at("state").textContent = found ? "resumed" : "fresh";
if (found) void follow(found);
at("ask").addEventListener("click", () => follow(session.stream(at("prompt").value)));
at("ask").disabled = false;
</script>`;
  const server = createServer((req, res) => {
    const script = req.url === "/client.js";
    if (!script && req.url !== "/") return void res.writeHead(404).end();
    res.writeHead(200, { "content-type": script ? "text/javascript" : "text/html; charset=utf-8" });
    res.end(script ? code : html);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
