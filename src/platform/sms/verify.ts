import { sameSecret, sha256Hex, utf8 } from "../../kernel/crypto";
import type { Verdict } from "../verdict";

async function signatureOf(token: string, text: string): Promise<string> {
  const key = await crypto.subtle.importKey("raw", utf8(token), { name: "HMAC", hash: "SHA-1" }, false, ["sign"]);
  return btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8(text)))));
}

/** Names in code unit order, each with its values; a name that comes twice with the same value counts once. */
function fieldsText(form: URLSearchParams): string {
  const names = [...new Set(form.keys())].sort();
  return names.flatMap((name) => [...new Set(form.getAll(name))].sort().map((value) => name + value)).join("");
}

/** The URL with its default port written, and without: it is not certain which one was signed. */
function spellings(text: string): string[] {
  const m = /^(https?):\/\/([^/?#:]+)(:\d+)?(.*)$/i.exec(text);
  if (!m) return [text];
  const [, scheme, host, port, rest] = m;
  const other = port ? `${scheme}://${host}${rest}` : `${scheme}://${host}:${scheme === "http" ? 80 : 443}${rest}`;
  return [text, other];
}

/**
 * Is this request from Twilio? HMAC-SHA1 with the auth token over the public URL and the form's fields; of any other body the URL
 * holds its hash (chat-platforms §4).
 *
 * @param urls what our URL may have been when Twilio signed it; never what an unverified header says.
 */
export async function verifyTwilio(
  headers: Headers,
  body: Uint8Array,
  urls: readonly string[],
  token: string,
): Promise<Verdict> {
  if (token === "" || urls.length === 0) return "bad_key";
  const given = headers.get("x-twilio-signature");
  if (!given) return "missing_header";
  if (!/^[A-Za-z0-9+/]{27}=$/.test(given)) return "bad_header";
  const form = /^application\/x-www-form-urlencoded\b/i.test(headers.get("content-type") ?? "");
  const fields = form ? fieldsText(new URLSearchParams(new TextDecoder().decode(body))) : "";
  const hash = form ? null : await sha256Hex(body);
  const matches = await Promise.all(
    urls.flatMap(spellings).map(async (url) => {
      const signed = await sameSecret(await signatureOf(token, url + fields), given);
      if (!signed || form) return signed;
      const told = URL.canParse(url) ? new URL(url).searchParams.get("bodySHA256") : null;
      return told?.toLowerCase() === hash;
    }),
  );
  return matches.includes(true) ? "ok" : "bad_signature";
}
