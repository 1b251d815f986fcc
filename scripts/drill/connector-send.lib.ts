import { createHmac } from "node:crypto";
import { sleep } from "../lib/sandbox";
import { type Chat, teamOf } from "./connector.lib";

/** The platforms' side of `npm run drill -- connector`: signed webhooks, forged ones, repeats, and what was acked. */

export const SECRETS = {
  slack: "drill-connector-slack-signing-secret",
  telegram: "drill_connector-telegram-secret",
};

/** A sent event. Refused ones are `forged`; `n` is its place in its chat. */
export interface Post {
  token: string;
  chat: Chat;
  n: number;
  forged: Forgery | null;
  /** Statuses of all calls with it; 0: no answer. */
  statuses: number[];
  acked: boolean;
}

export type Forgery = "other secret" | "changed body" | "no signature" | "too old" | "from the future";
const FORGERIES: Record<Chat["platform"], Forgery[]> = {
  slack: ["other secret", "changed body", "no signature", "too old", "from the future"],
  telegram: ["other secret", "no signature"],
};

/** Platforms wait this long for an answer, ms. */
const PATIENCE = 3_000;
/** At the edges of Slack's window of 300 s: the old one loses seconds on its way, the new one gains them. */
const SKEWS = [0, 0, 0, 0, -280, 295, 300];
const REPEATS = 0.05;
const FORGED = 0.05;

export class Sender {
  readonly posts: Post[] = [];
  /** Repeats that were sent: `same id`, `new id`. */
  readonly repeats = new Map<string, number>();
  /** Refusals of what is signed well. */
  readonly refused: string[] = [];
  #serial = 0;

  constructor(
    readonly url: string,
    readonly random: () => number,
    readonly stopped: () => boolean,
  ) {}

  /** One event of a chat until its platform is content; sometimes with a repeat of it or of an older one. */
  async post(chat: Chat): Promise<void> {
    const { random } = this;
    const mine = this.posts.filter((p) => p.chat === chat && !p.forged);
    const forgeries = FORGERIES[chat.platform];
    const forged = random() < FORGED ? forgeries[Math.floor(random() * forgeries.length)]! : null;
    const n = mine.length;
    const token = `${forged ? "forged" : "said"} ${chat.name} ${forged ? this.posts.length : n}`;
    const post: Post = { token, chat, n, forged, statuses: [], acked: false };
    this.posts.push(post);
    if (forged) return void (await this.#call(post, this.#id()));
    const id = this.#id();
    const repeats = random() < REPEATS;
    const older = random() < 0.6 ? mine[Math.floor(random() * mine.length)] : undefined;
    const work = this.#until(post, id);
    // At once, as after a timeout that was none; or long after.
    if (repeats && !older) await Promise.all([work, this.#repeat(post, id)]);
    else await work;
    if (repeats && older) await this.#repeat(older, null);
  }

  readonly #ids = new Map<Post, string>();
  #id = (): string => String(1_000_000 + ++this.#serial);

  async #until(post: Post, id: string): Promise<void> {
    this.#ids.set(post, id);
    for (let tries = 0; !this.stopped(); tries++) {
      const status = await this.#call(post, id, tries);
      if (status >= 200 && status < 300) {
        post.acked = true;
        return;
      }
      if (status >= 400 && status < 500) this.refused.push(`${post.token}: ${status}`);
      await sleep(Math.min(100 * 2 ** tries, 1_000));
    }
  }

  async #repeat(post: Post, id: string | null): Promise<void> {
    const same = this.random() < 0.5;
    const kind = same ? "same id" : "new id";
    this.repeats.set(kind, (this.repeats.get(kind) ?? 0) + 1);
    await this.#call(post, same ? (id ?? this.#ids.get(post)!) : this.#id(), 1);
  }

  /** Status; 0: nobody answered in time. */
  async #call(post: Post, id: string, tries = 0): Promise<number> {
    const { path, headers, body } = post.chat.platform === "slack" ? this.#slack(post, id) : telegram(post, id);
    if (tries > 0 && post.chat.platform === "slack") headers["x-slack-retry-num"] = String(tries);
    const status = await fetch(this.url + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
      signal: AbortSignal.timeout(PATIENCE),
    }).then(
      async (r) => {
        // Its status has come, and that is what a platform goes by.
        await r.text().catch(() => "");
        return r.status;
      },
      () => 0,
    );
    post.statuses.push(status);
    return status;
  }

  #slack({ chat, n, token, forged }: Post, id: string) {
    const skew = SKEWS[Math.floor(this.random() * SKEWS.length)]!;
    const off = forged === "too old" ? -301 : forged === "from the future" ? 310 : skew;
    const ts = String(Math.floor(Date.now() / 1000) + off);
    const { chat: channel, user } = chat;
    // A forgery must not take the place of a message that was never sent.
    const at = `1790${forged ? "1" : "0"}.${String(n).padStart(6, "0")}`;
    const event = { type: "message", channel, channel_type: "im", user, ts: at, text: token };
    const whole = {
      type: "event_callback",
      team_id: teamOf(chat.house.index),
      api_app_id: "A0DRILL",
      event_id: `Ev${id}`,
      event,
    };
    const body = JSON.stringify(whole);
    const secret = forged === "other secret" ? "another" : SECRETS.slack;
    const mac = createHmac("sha256", secret).update(`v0:${ts}:${body}`).digest("hex");
    return {
      path: "/webhooks/slack/app/events",
      headers: {
        "x-slack-request-timestamp": ts,
        ...(forged === "no signature" ? {} : { "x-slack-signature": `v0=${mac}` }),
      } as Record<string, string>,
      body: forged === "changed body" ? body.replace("forged", "Forged") : body,
    };
  }
}

function telegram({ chat, n, token, forged }: Post, id: string) {
  const person = { id: Number(chat.user), is_bot: false, first_name: "Drill" };
  // In a chat of two both ends' messages are numbered in one row: a number the bot's replies get would be its own echo.
  const message_id = (forged ? 2_000_000 : 1_000_000) + n;
  const message = { message_id, date: 1_790_000_000, chat: { id: Number(chat.chat), type: "private" }, from: person };
  const secret = SECRETS.telegram + (forged === "other secret" ? "x" : "");
  return {
    path: "/webhooks/telegram/app",
    headers: (forged === "no signature" ? {} : { "x-telegram-bot-api-secret-token": secret }) as Record<string, string>,
    body: JSON.stringify({ update_id: Number(id), message: { ...message, text: token } }),
  };
}
