import { iso } from "../../kernel/clock";
import { readVar } from "../../kernel/config";
import { hmacSha256, toHex } from "../../kernel/crypto";
import type { Runtime } from "../../kernel/runtime";
import type { Channel, Outgoing, SendResult } from "../types";
import { post, refused } from "./call";

/**
 * The operator's own receiver. The body is JSON; `reveille-signature` is `v1=` + hex HMAC-SHA256 of `timestamp.body` under
 * REVEILLE_WEBHOOK_SECRET, so that a receiver can trust it and refuse a replay. Buttons are left out: they would be
 * capabilities in a third party's log.
 */
export const webhookChannel: Channel = {
  name: "webhook",
  missing: (runtime) =>
    ["REVEILLE_WEBHOOK_URL", "REVEILLE_WEBHOOK_SECRET"].filter((name) => readVar(runtime.vars, name) === ""),
  async send(runtime: Runtime, out: Outgoing): Promise<SendResult> {
    const url = readVar(runtime.vars, "REVEILLE_WEBHOOK_URL");
    if (!/^https?:\/\//i.test(url))
      return { ok: false, error: "REVEILLE_WEBHOOK_URL is not an http or https URL", retryable: false };
    const n = out.notice;
    const body = JSON.stringify({
      version: 1,
      id: n.id,
      event: n.event,
      severity: n.severity,
      title: n.title,
      body: n.body,
      quote: n.quote,
      url: n.url,
      incident_id: n.incident_id,
      target_id: n.target_id,
      rehearsal: n.rehearsal,
      at: iso(n.at),
    });
    // Receivers compare this with their own clock, so it is wall time.
    const timestamp = String(Math.floor(runtime.clock.wall() / 1000));
    const mac = toHex(await hmacSha256(readVar(runtime.vars, "REVEILLE_WEBHOOK_SECRET"), `${timestamp}.${body}`));
    const reply = await post(
      runtime,
      url,
      {
        "content-type": "application/json; charset=utf-8",
        "reveille-signature": `v1=${mac}`,
        "reveille-timestamp": timestamp,
        "idempotency-key": out.idempotency_key,
      },
      body,
    );
    if (!reply.got) return reply.result;
    if (reply.status >= 200 && reply.status < 300) return { ok: true, ref: null };
    const redirected = reply.status >= 300 && reply.status < 400;
    return refused(
      runtime,
      reply,
      `HTTP ${reply.status}${redirected ? " (redirects are not followed; set the final URL)" : ""}`,
    );
  },
};
