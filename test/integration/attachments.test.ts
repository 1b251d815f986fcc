import { beforeAll, describe, expect, it } from "vitest";
import { keysOf, signAnnounce, signConnect } from "./onion-kit";
import { Line, pair, until } from "./relay-kit";
import { connect, type Frame, host, input, open, policy, signedFrame, signedGet, someone } from "./session-kit";

/** Images and files of an INPUT: byte for byte to an agent behind the relay; words to whoever asks an agent of text alone. */

const IMAGE = `data:image/png;base64,${"iVBORw0KGgo+/=".repeat(2_000)}`;
const FILES = [{ name: "bericht ü.pdf", data: `data:application/pdf;base64,${"JVBERi0x".repeat(20_000)}` }];
const LIMIT = 1_048_576;

beforeAll(() => policy("open"));

describe("to an agent behind the relay", () => {
  it("they pass as they came, with the session's id alone added, and count as an input", async () => {
    const p = await pair("attach");
    const texts: string[] = [];
    p.agent.ws.addEventListener("message", (e) => {
      texts.push(String(e.data));
    });
    // Numbers and escapes that a parser would print otherwise, and no prompt at all.
    const raw = `{ "type":"INPUT", "input_id":"1","images":["${IMAGE}"],"files":${JSON.stringify(FILES)},"n":10.0,"e":1e-7,"u":"\\u00fc\\/" }`;
    p.client.ws.send(raw);
    await until(() => texts.length === 1, 3_000, "INPUT");
    expect(texts[0]).toBe(raw.replace("{", `{"session_id":"${p.rid}",`));
    p.agent.send({ type: "agent_image", session_id: p.rid, id: "i1", ts: 1, image: IMAGE });
    expect(await p.client.type("agent_image")).toMatchObject({ image: IMAGE, seq: 1 });
    p.agent.send({ type: "OUTPUT", session_id: p.rid, result: "seen" });
    await p.client.type("OUTPUT");
    expect(await (await signedGet(p.clientKeys, `/sessions/${p.rid}`)).json()).toMatchObject({ status: "done" });
    for (const line of [p.client, p.agent]) line.ws.close();
  });

  it("up to the limit of a frame; beyond it the client is told, nothing arrives, and its line goes on", async () => {
    const p = await pair("attach-limit");
    const frame = (length: number): string => {
      const bare = JSON.stringify({ type: "INPUT", input_id: "1", prompt: "big", images: [""] });
      return bare.replace('[""]', `["${"x".repeat(length - bare.length)}"]`);
    };
    p.client.ws.send(frame(LIMIT + 1));
    expect(await p.client.type("ERROR")).toMatchObject({ error: expect.stringMatching(/^frame too large: /) });
    p.client.ws.send(frame(LIMIT));
    const arrived = (await p.agent.type("INPUT")) as { images: string[] };
    expect(arrived.images[0]!.length).toBeGreaterThan(LIMIT - 200);
    expect(p.agent.frames.filter((f) => f["type"] === "INPUT")).toHaveLength(1);
    expect(p.client.closed).toBeNull();
    for (const line of [p.client, p.agent]) line.ws.close();
  });

  it("one of 0.6.5 takes a prompt alone: the client hears which thing it can't take", async () => {
    const agentKeys = await keysOf("attach-old-agent");
    const agent = await Line.open("/ws/announce");
    agent.ws.send(await signAnnounce(agentKeys, true));
    await agent.type("ANNOUNCE_OK");
    const client = await Line.open("/ws/input");
    client.ws.send(await signConnect(await keysOf("attach-old-client"), agentKeys.address));
    await client.type("CONNECTED");
    client.send({ type: "INPUT", input_id: "1", prompt: "read it", files: FILES });
    expect(await client.type("ERROR")).toMatchObject({
      error: "files are not accepted by this agent (bericht ü.pdf): nothing was run, send the prompt alone",
    });
    client.send({ type: "INPUT", input_id: "2", prompt: "then without" });
    expect(await agent.type("INPUT")).toMatchObject({ prompt: "then without" });
    expect(agent.frames.filter((f) => f["type"] === "INPUT")).toHaveLength(1);
    for (const line of [client, agent]) line.ws.close();
  });
});

describe("to the built-in agent", () => {
  it("they are refused by name, whole, and the session stays as it was", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    line.send(input("How much of the budget is left?"));
    await line.next("OUTPUT");
    const before = await (await signedGet(me, `/sessions/${id}`)).json();
    const said = async (frame: object, n: number): Promise<unknown> => {
      line.send(frame);
      return (await line.next("ERROR", n))["error"];
    };
    const tail = ": nothing was run, send the prompt alone";
    expect(await said(input("look", { images: [IMAGE], files: FILES }), 0)).toBe(
      `images and files are not accepted by this agent (bericht ü.pdf)${tail}`,
    );
    expect(await said(input("", { images: [IMAGE] }), 1)).toBe(`images are not accepted by this agent${tail}`);
    expect(await (await signedGet(me, `/sessions/${id}`)).json()).toEqual(before);
    line.send(input("What is down?", { images: [], files: null }));
    await line.next("OUTPUT", 1);
    line.leave();
  });

  it("signed ones too, in the payload or beside it", async () => {
    const me = await someone();
    const line = await open();
    const now = Math.floor(Date.now() / 1000);
    const to = await host();
    const first = await signedFrame(me, { prompt: "a", to, timestamp: now, files: FILES }, { type: "INPUT" });
    line.send(first);
    expect(await line.next("ERROR")).toMatchObject({ error: expect.stringMatching(/^files are not accepted/) });
    line.send(await signedFrame(me, { prompt: "b", to, timestamp: now }, { type: "INPUT", images: [IMAGE] }));
    expect(await line.next("ERROR", 1)).toMatchObject({ error: expect.stringMatching(/^images are not accepted/) });
    expect((line.frames as Frame[]).some((f) => f.type === "OUTPUT")).toBe(false);
    line.leave();
  });
});
