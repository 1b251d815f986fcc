import * as z from "zod";
import { MINUTE } from "../kernel/clock";
import { readVar } from "../kernel/config";
import { hmacSha256, toHex } from "../kernel/crypto";
import { describe } from "../kernel/errors";
import { readCapped } from "../kernel/http";
import { newId } from "../kernel/ids";
import { guardedFetch } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";

/**
 * The payment verifier: the operator's own service, asked whether a transfer arrived. What a client says it paid is a hint for
 * that service and nothing else. The contract is in docs/trust.md.
 */

/** A transfer counts for this long after it was made (`connectonion.md` (f)). Wall time: the verifier's clock is not ours. */
const FRESH = 5 * MINUTE;
/** And may be this far ahead of our clock. */
const SKEW = MINUTE;
const TIMEOUT = 8_000;
const MAX_REPLY = 16 * 1024;
const MAX_CLAIM = 2_048;

const replySchema = z.object({
  verified: z.boolean(),
  client_id: z.string(),
  amount: z.number(),
  reference: z.string().min(1).max(200),
  paid_at: z.iso.datetime({ offset: true }),
});

export type PaymentResult = { ok: true; reference: string; amount: number } | { ok: false; why: string };

/** Asks the verifier and marks the transfer as used. Never throws; whatever is not proven is not paid. */
export async function verifyPayment(
  deps: { db: D1Database; runtime: Runtime },
  ask: { client_id: string; agent: string; price: number; claim: unknown },
): Promise<PaymentResult> {
  const { runtime } = deps;
  try {
    const result = await askVerifier(runtime, ask);
    if (!result.ok) return result;
    return (await useOnce(deps, ask.client_id, result)) ? result : { ok: false, why: "used before" };
  } catch (error) {
    runtime.log("error", "payment.unverified", { error: runtime.redact.text(describe(error)) });
    return { ok: false, why: "the verifier did not answer" };
  }
}

async function askVerifier(
  runtime: Runtime,
  ask: { client_id: string; agent: string; price: number; claim: unknown },
): Promise<PaymentResult> {
  const address = readVar(runtime.vars, "REVEILLE_PAYMENT_VERIFIER_URL");
  if (!address) return { ok: false, why: "no verifier" };
  const claim = JSON.stringify(ask.claim ?? null).length <= MAX_CLAIM ? (ask.claim ?? null) : null;
  const body = JSON.stringify({
    version: 1,
    id: newId(runtime.clock.now()),
    client_id: ask.client_id,
    agent: ask.agent,
    min_amount: ask.price,
    max_age_s: FRESH / 1000,
    claim,
  });
  const timestamp = String(Math.floor(runtime.clock.wall() / 1000));
  const secret = readVar(runtime.vars, "REVEILLE_PAYMENT_VERIFIER_SECRET");
  const headers: Record<string, string> = { "content-type": "application/json", "reveille-timestamp": timestamp };
  if (secret) headers["reveille-signature"] = `v1=${toHex(await hmacSha256(secret, `${timestamp}.${body}`))}`;
  const { response } = await guardedFetch(
    new URL(address),
    { method: "POST", headers, body, follow: false, signal: AbortSignal.timeout(TIMEOUT) },
    runtime.config.allowPrivate,
  );
  const { bytes, truncated } = await readCapped(response.body, MAX_REPLY);
  if (response.status !== 200 || truncated) return no(runtime, `HTTP ${response.status}`);
  const parsed = replySchema.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
  if (!parsed.success) return no(runtime, "an answer outside the contract");
  const { verified, client_id, amount, reference, paid_at } = parsed.data;
  if (!verified) return { ok: false, why: "not paid" };
  // The proof must be about this client, this price and the last minutes, whatever `verified` says.
  if (client_id.toLowerCase() !== ask.client_id) return no(runtime, "a payment of somebody else");
  if (!(amount >= ask.price)) return { ok: false, why: "less than the price" };
  const age = runtime.clock.wall() - Date.parse(paid_at);
  if (!(age <= FRESH && age >= -SKEW)) return { ok: false, why: "too old" };
  return { ok: true, reference, amount };
}

function no(runtime: Runtime, what: string): PaymentResult {
  runtime.log("warn", "payment.refused", { what });
  return { ok: false, why: what };
}

async function useOnce(
  { db, runtime }: { db: D1Database; runtime: Runtime },
  client: string,
  paid: { reference: string; amount: number },
): Promise<boolean> {
  const row = await db
    .prepare("INSERT INTO trust_payment (reference, client_id, amount, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
    .bind(paid.reference, client, paid.amount, runtime.clock.now())
    .run();
  if (row.meta.changes > 0) return true;
  // The same client's second try after a crash between this row and its promotion.
  const known = await db
    .prepare("SELECT client_id FROM trust_payment WHERE reference = ?")
    .bind(paid.reference)
    .first<{ client_id: string }>();
  return known?.client_id === client;
}
