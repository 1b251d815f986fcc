import { createHmac } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { Done, Lanes } from "../relay/load";

/** Slack's messages to a webhook, signed as Slack signs them, over plain kept-alive sockets: little work beside what is measured. */

export const SIGNING = "bench-slack-signing-secret-7f3a91";
export const TEAM = "T0BENCH001";
const TEXT =
  "The nightly import stopped at row 48,112 again. Could you look at what the service logged around then, compare it with the last good run, and tell us here what changed?";

export interface Person {
  user: string;
  dm: string;
}

/** People of one instance; `name` keeps them apart from those of another. */
export const people = (name: string, n: number): Person[] =>
  Array.from({ length: n }, (_, i) => ({ user: `U0${name}${i}`, dm: `D0${name}${i}` }));

let serial = 0;

/** One direct message as Slack sends it; its text begins with its number. */
function message({ user, dm }: Person): string {
  const n = ++serial;
  const ts = `1790000000.${String(n).padStart(6, "0")}`;
  return JSON.stringify({
    token: "slack-legacy-verification-token",
    team_id: TEAM,
    context_team_id: TEAM,
    api_app_id: "A0BENCH001",
    event: {
      type: "message",
      user,
      ts,
      client_msg_id: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
      text: `${n} ${TEXT}`,
      team: TEAM,
      channel: dm,
      event_ts: ts,
      channel_type: "im",
    },
    type: "event_callback",
    event_id: `Ev0BENCH${n}`,
    event_time: 1_790_000_000,
    authorizations: [{ enterprise_id: null, team_id: TEAM, user_id: "U0BOT00001", is_bot: true }],
    is_ext_shared_channel: false,
  });
}

function request(host: string, path: string, body: string): string {
  const ts = String(Math.floor(Date.now() / 1000));
  const mac = createHmac("sha256", SIGNING).update(`v0:${ts}:${body}`).digest("hex");
  return (
    `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
    `x-slack-request-timestamp: ${ts}\r\nx-slack-signature: v0=${mac}\r\n\r\n${body}`
  );
}

/** How long a whole answer is, or null while some of it is missing. */
function lengthOf(text: string): number | null {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return null;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, head))?.[1];
  if (length !== undefined) return text.length >= head + 4 + Number(length) ? head + 4 + Number(length) : null;
  const end = text.indexOf("0\r\n\r\n", head + 4);
  return end < 0 ? null : end + 5;
}

/** One kept-alive line. A server may close it while it is idle: then it is opened again, and what it had not answered is sent again. */
class Lane {
  #socket: Socket | null = null;
  #text = "";
  #asked = "";
  #again = false;
  #done: Done | null = null;

  constructor(
    readonly host: string,
    readonly port: number,
  ) {}

  #open(): Socket {
    const socket = connect({ host: this.host, port: this.port, noDelay: true });
    this.#text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => this.#read(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (!this.#done) return;
      if (this.#again || this.#text !== "") this.#end(new Error(`The line to port ${this.port} was closed.`));
      else {
        this.#again = true;
        this.#send();
      }
    });
    return socket;
  }

  #send(): void {
    this.#socket ??= this.#open();
    this.#socket.write(this.#asked);
  }

  #read(chunk: string): void {
    this.#text += chunk;
    const length = lengthOf(this.#text);
    if (length === null) return;
    const answer = this.#text;
    this.#text = answer.slice(length);
    this.#end(answer.startsWith("HTTP/1.1 200") ? undefined : new Error(`A webhook was told ${answer.slice(0, 200)}`));
  }

  #end(error?: Error): void {
    const done = this.#done;
    this.#done = null;
    done?.(error);
  }

  ask(text: string, done: Done): void {
    this.#done = done;
    this.#asked = text;
    this.#again = false;
    this.#send();
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.destroy();
  }
}

/** `n` platforms' lines to `url + path`, each asking for a person of its own in turn. */
export function hookLanes(name: string, url: string, path: string, n: number, who: Person[]): Lanes {
  const { hostname, port, host } = new URL(url);
  const lanes = Array.from({ length: n }, () => new Lane(hostname, Number(port)));
  return {
    name,
    lines: n,
    ask: (i, done) => lanes[i]!.ask(request(host, path, message(who[i % who.length]!)), done),
    close: () => {
      for (const lane of lanes) lane.close();
    },
  };
}

/** Asks `total` times with all lines at once. */
export function askAll(lanes: Lanes, total: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let [asked, answered] = [0, 0];
    const next = (i: number): void => {
      if (asked === total) return;
      asked++;
      lanes.ask(i, (error) => {
        if (error) return reject(error);
        if (++answered === total) resolve();
        else next(i);
      });
    };
    for (let i = 0; i < Math.min(lanes.lines, total); i++) next(i);
  });
}
