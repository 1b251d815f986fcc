import { readVar, VARIABLES } from "../kernel/config";
import { sameSecret } from "../kernel/crypto";
import { badRequest, type ReveilleError } from "../kernel/errors";
import type { Doors } from "./policy.types";

export type { Doors } from "./policy.types";

/** The doors of a policy: `$NAME` is read from the bindings, and a name that is not set closes its door. */

/** Variables a policy may name, each under all its names. Every other one of ours is a setting or a secret of something else. */
const OWN = ["REVEILLE_INVITE_CODE", "REVEILLE_INVITE_PRICE"];
const ownName = (name: string): string | undefined =>
  VARIABLES.find((x) => OWN.includes(x.name) && (x.name === name || x.aliases.includes(name)))?.name;
const isOurs = (name: string): boolean =>
  name.startsWith("WATCH_") || VARIABLES.some((x) => x.name === name || x.aliases.includes(name));

const wrong = (field: string, message: string): ReveilleError => badRequest("bad_policy", message, field);

/** The text behind `$NAME`, or "" when it is not set. @throws ReveilleError for a name a policy may not read. */
function resolve(text: string, vars: Record<string, unknown>, field: string): string {
  const name = /^\$\{?([A-Za-z_][A-Za-z0-9_]{0,63})\}?$/.exec(text)?.[1];
  if (name === undefined) return text;
  const own = ownName(name);
  if (own) return readVar(vars, own);
  if (isOurs(name)) throw wrong(field, `A policy can't read $${name}: that is a setting of something else.`);
  const value = vars[name];
  return typeof value === "string" ? value.trim() : "";
}

/** Codes and price of an `onboard` block. A literal text is one code, never a list or a part of one. */
export function doorsOf(given: { invite_code?: unknown; payment?: unknown }, vars: Record<string, unknown>): Doors {
  const raw = given.invite_code;
  const list = raw === null || raw === undefined ? [] : Array.isArray(raw) ? raw : [raw];
  const codes = list.map((code) => {
    if (typeof code !== "string" && typeof code !== "number")
      throw wrong("invite_code", "invite_code must be a text or a list of texts.");
    return resolve(String(code), vars, "invite_code");
  });
  const payment = given.payment;
  const price = typeof payment === "string" ? resolve(payment, vars, "payment") : payment;
  const amount = typeof price === "string" && price.trim() !== "" ? Number(price) : price;
  const payable = typeof amount === "number" && Number.isFinite(amount) && amount > 0;
  // Nobody can prove a payment when there is nobody to ask.
  const verifiable = readVar(vars, "REVEILLE_PAYMENT_VERIFIER_URL") !== "";
  return { codes: codes.filter((c) => c !== ""), price: payable && verifiable ? amount : null };
}

/** Whether `code` is one of the codes, in constant time over all of them. */
export async function codeFits(codes: readonly string[], code: string): Promise<boolean> {
  let fits = false;
  for (const known of codes) if (await sameSecret(known, code)) fits = true;
  return fits && code !== "";
}
