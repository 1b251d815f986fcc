import type { Scene } from "./drill-client.types";
import { anyIp, type DrillLine, signedHeaders } from "./drill-line";
import type { Frame } from "./onion-host";
import type { Keys } from "./onion-keys";

export interface Fetched {
  code: number;
  text: string;
  body: Frame;
}

/** `GET` with this client's signature, or with none; asked again while nobody listens or the answer is 429 or 5xx. */
export async function get(scene: Scene, path: string, keys: Keys | null, ms = 30_000): Promise<Fetched | null> {
  for (const end = Date.now() + ms; ; await new Promise((r) => setTimeout(r, 150))) {
    try {
      const response = await fetch(scene.http + path, {
        headers: {
          connection: "close",
          "cf-connecting-ip": anyIp(scene.random),
          ...(keys ? signedHeaders(keys, path) : {}),
        },
        signal: AbortSignal.timeout(5_000),
      });
      const text = await response.text();
      if (response.status < 429) return { code: response.status, text, body: JSON.parse(text) as Frame };
      note(scene, `GET ${response.status}`);
    } catch {
      // The runtime is down just now.
    }
    if (Date.now() >= end || scene.stopped()) return null;
  }
}

export const note = (scene: Scene, what: string): unknown =>
  scene.troubles.set(what, (scene.troubles.get(what) ?? 0) + 1);

/** `chat_items` of a frame, as question and answer. */
export function turns(frame: Frame): { user: string; answer: string | null }[] {
  const out: { user: string; answer: string | null }[] = [];
  for (const item of Array.isArray(frame["chat_items"]) ? (frame["chat_items"] as Frame[]) : []) {
    if (item["type"] === "user") out.push({ user: String(item["content"]), answer: null });
    // Prompts that joined one run stand in a row before their one answer.
    if (item["type"] === "agent")
      for (const turn of out.filter((t) => t.answer === null)) turn.answer = String(item["content"]);
  }
  return out;
}

/** Everything after CONNECTED has come: the answer to a question asked behind it stands behind it. */
export async function caughtUp(line: DrillLine, session: string, answered: () => boolean): Promise<boolean> {
  line.send({ type: "SESSION_STATUS", session: { session_id: session } });
  return (await line.until(answered, 5_000)) === true;
}
