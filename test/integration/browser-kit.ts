import { env, exports } from "cloudflare:workers";
import { expect } from "vitest";
import { createLoginCode } from "../../src/operator";

export const BASE = "http://reveille.test";

/** A browser's worth of state: cookies, and forms found on the page last read. */
export class Browser {
  #cookies = new Map<string, string>();
  html = "";

  async go(path: string, init: RequestInit = {}): Promise<Response> {
    const cookie = [...this.#cookies].map(([k, v]) => `${k}=${v}`).join("; ");
    const headers = new Headers(init.headers);
    if (cookie) headers.set("cookie", cookie);
    const response = await exports.default.fetch(new Request(BASE + path, { redirect: "manual", ...init, headers }));
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!;
      if (/Max-Age=0/.test(line)) this.#cookies.delete(name!);
      else this.#cookies.set(name!, value!);
    }
    this.html = await response.clone().text();
    return response;
  }

  set(name: string, value: string): void {
    this.#cookies.set(name, value);
  }

  async signIn(): Promise<this> {
    const { code } = await createLoginCode(env.DB, Date.now());
    const response = await this.go(`/login?code=${code}`);
    expect([response.status, response.headers.get("location")]).toEqual([303, "/"]);
    return this;
  }

  /** The fields of the form on this page that posts to `action`. */
  form(action: string): Record<string, string> {
    for (const m of this.html.matchAll(/<form method="post" action="([^"]*)"[^>]*>([\s\S]*?)<\/form>/g)) {
      if (m[1] !== action) continue;
      const fields = [...m[2]!.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)];
      return Object.fromEntries(fields.map((f) => [f[1]!, f[2]!]));
    }
    throw new Error(`no form posts to ${action}`);
  }

  post(action: string, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
    return this.go(action, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
      body: new URLSearchParams(fields),
    });
  }

  /** Sends the form of the page in hand and reads where it leads. */
  async act(action: string, more: Record<string, string> = {}): Promise<Response> {
    const answer = await this.post(action, { ...this.form(action), ...more });
    if (answer.status === 303) await this.go(answer.headers.get("location") ?? "/");
    return answer;
  }
}
