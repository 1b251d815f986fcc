import { ReveilleError } from "./errors";

/** One entry of `REVEILLE_ALLOW_PRIVATE`: `host`, `host:port`, or an IPv4/IPv6 range in CIDR form. */
export interface AllowEntry {
  host?: string;
  port?: string;
  cidr?: { bits: bigint; size: number; v: 4 | 6 };
}

type Ip = { v: 4 | 6; bits: bigint };

function parseV4(text: string): bigint | null {
  const m = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!m) return null;
  let bits = 0n;
  for (const part of m.slice(1)) {
    if (Number(part) > 255) return null;
    bits = (bits << 8n) | BigInt(part);
  }
  return bits;
}

function parseV6(text: string): bigint | null {
  if (!text.includes(":")) return null;
  let source = text.split("%")[0]!;
  const tail = /:(\d+\.\d+\.\d+\.\d+)$/.exec(source);
  if (tail) {
    const v4 = parseV4(tail[1]!);
    if (v4 === null) return null;
    source = source.slice(0, -tail[1]!.length) + (v4 >> 16n).toString(16) + ":" + (v4 & 0xffffn).toString(16);
  }
  const halves = source.split("::");
  if (halves.length > 2) return null;
  const words = (s: string): string[] => (s ? s.split(":") : []);
  const head = words(halves[0]!);
  const rest = halves.length === 2 ? words(halves[1]!) : [];
  const gap = 8 - head.length - rest.length;
  if (halves.length === 1 ? gap !== 0 : gap < 0) return null;
  let bits = 0n;
  for (const w of [...head, ...Array<string>(gap).fill("0"), ...rest]) {
    if (!/^[0-9a-f]{1,4}$/i.test(w)) return null;
    bits = (bits << 16n) | BigInt(Number.parseInt(w, 16));
  }
  return bits;
}

/** The address a URL host or socket host literally names, or null for a name. IPv4 inside IPv6 counts as IPv4. */
export function parseIp(host: string): Ip | null {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  const v4 = parseV4(bare);
  if (v4 !== null) return { v: 4, bits: v4 };
  const v6 = parseV6(bare);
  if (v6 === null) return null;
  const high = v6 >> 32n;
  // ::ffff:a.b.c.d (mapped), ::ffff:0:a.b.c.d (translated), ::a.b.c.d (compatible), 64:ff9b::a.b.c.d (NAT64), 2002:a.b.c.d:: (6to4)
  if (high === 0xffffn || high === 0xffff0000n || (high === 0n && v6 > 1n) || high === 0x64ff9b0000000000000000n)
    return { v: 4, bits: v6 & 0xffffffffn };
  if (v6 >> 112n === 0x2002n) return { v: 4, bits: (v6 >> 80n) & 0xffffffffn };
  return { v: 6, bits: v6 };
}

function inRange(ip: Ip, range: string): boolean {
  const cidr = parseCidr(range)!;
  return cidr.v === ip.v && ip.bits >> BigInt((ip.v === 4 ? 32 : 128) - cidr.size) === cidr.bits;
}

function parseCidr(text: string): { bits: bigint; size: number; v: 4 | 6 } | null {
  const [host, size] = text.split("/");
  if (!host || !size || !/^\d{1,3}$/.test(size)) return null;
  const v4 = parseV4(host);
  const v6 = v4 === null ? parseV6(host) : null;
  const v = v4 !== null ? 4 : 6;
  const bits = v4 ?? v6;
  const width = v === 4 ? 32 : 128;
  if (bits === null || Number(size) > width) return null;
  return { bits: bits >> BigInt(width - Number(size)), size: Number(size), v };
}

/** IANA special-purpose ranges: nothing an operator's public service lives in. */
const SPECIAL = [
  "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24",
  "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4",
  "::/128 ::1/128 64:ff9b:1::/48 100::/64 2001:db8::/32 2001::/32 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8",
]
  .join(" ")
  .split(" ");

const LOCAL_NAMES =
  /(^|\.)(localhost|local|localdomain|internal|intranet|lan|home|corp|private|home\.arpa|svc|cluster\.local)$/;

/** True for an address or name that must not be reached unless it is on the allow-list. */
export function isPrivateHost(host: string): boolean {
  const name = host.toLowerCase().replace(/\.+$/, "");
  const ip = parseIp(name);
  if (ip) return SPECIAL.some((range) => inRange(ip, range));
  return !name.includes(".") || LOCAL_NAMES.test(name);
}

/** Parses `REVEILLE_ALLOW_PRIVATE`. Throws with the entry it can't read. */
export function parseAllowList(text: string): AllowEntry[] {
  return text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((entry) => {
      if (entry.includes("/")) {
        const cidr = parseCidr(entry);
        if (cidr) return { cidr };
      }
      const m = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(\d{1,5}|\*))?$/i.exec(entry);
      if (!m)
        throw new ReveilleError({
          status: 500,
          code: "bad_config",
          message: `REVEILLE_ALLOW_PRIVATE has "${entry}", which is no host, host:port or CIDR range.`,
          field: "REVEILLE_ALLOW_PRIVATE",
          hint: 'Write e.g. "127.0.0.1:9000, db.internal, 10.0.0.0/8".',
        });
      return { host: m[1]!.toLowerCase(), ...(m[2] && m[2] !== "*" ? { port: m[2] } : {}) };
    });
}

function allowed(host: string, port: string, list: AllowEntry[]): boolean {
  const ip = parseIp(host);
  return list.some((e) => {
    if (e.cidr)
      return (
        ip !== null && ip.v === e.cidr.v && ip.bits >> BigInt((ip.v === 4 ? 32 : 128) - e.cidr.size) === e.cidr.bits
      );
    return e.host === host && (e.port === undefined || e.port === port);
  });
}

/**
 * The host as a resolver reads it: `127.1`, `0177.0.0.1` and `0x7f.0.0.1` are 127.0.0.1 to it. The URL parser folds them all.
 * @throws ReveilleError 400 `bad_host` for what is no host.
 */
function canonicalHost(host: string, field: string): string {
  // A zone (`%eth0`) only says over which interface.
  const text = host.includes(":") ? `[${host.replace(/^\[|\]$/g, "").split("%")[0]}]` : host;
  const url = /[/?#@%\\\s]/.test(text) ? null : `http://${text}/`;
  if (url !== null && URL.canParse(url)) return new URL(url).hostname.replace(/\.+$/, "");
  throw new ReveilleError({ status: 400, code: "bad_host", message: "This is no host name and no address.", field });
}

/**
 * Refuses a host that an operator-given URL must not reach. Literal addresses in any notation and local names are judged here; on Cloudflare a public name that resolves to a private
 * address can't be reached from a Worker anyway (SECURITY.md says what remains for local use).
 * @throws ReveilleError 400 `private_address` with the allow-list line to add.
 */
export function checkHost(host: string, port: string, list: AllowEntry[], field = "url"): void {
  const name = canonicalHost(host, field);
  if (!isPrivateHost(name) || allowed(name, port, list)) return;
  throw new ReveilleError({
    status: 400,
    code: "private_address",
    message: `${name}:${port} is a private address.`,
    field,
    hint: `To allow it, add it to the configuration: REVEILLE_ALLOW_PRIVATE=${name}:${port}`,
  });
}

/** Parses and checks an operator-given http(s) URL. @throws ReveilleError 400 `bad_url` or `private_address`. */
export function checkUrl(text: string, list: AllowEntry[], field = "url"): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ReveilleError({ status: 400, code: "bad_url", message: "This is not an absolute URL.", field });
  }
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw new ReveilleError({
      status: 400,
      code: "bad_url",
      message: `Only http and https are looked at, not "${url.protocol}".`,
      field,
    });
  if (url.username || url.password)
    throw new ReveilleError({
      status: 400,
      code: "bad_url",
      message: "A URL must not carry a user name or password.",
      field,
      hint: "Put the secret into a binding and name it in `credentials`.",
    });
  checkHost(url.hostname, url.port || (url.protocol === "https:" ? "443" : "80"), list, field);
  return url;
}

const HARMLESS = new Set(["accept", "accept-language", "user-agent"]);
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * fetch() for operator-given URLs: every hop is checked, credentials are dropped when a redirect leaves the origin, at most
 * five hops.
 */
export async function guardedFetch(
  target: URL,
  init: RequestInit & { follow?: boolean },
  list: AllowEntry[],
): Promise<{ response: Response; url: URL }> {
  const { follow = true, ...rest } = init;
  let url = checkUrl(target.href, list);
  const headers = new Headers(rest.headers);
  let method = rest.method ?? "GET";
  for (let hop = 0; ; hop++) {
    const response = await fetch(url, { ...rest, method, headers, redirect: "manual" });
    const location = response.headers.get("location");
    if (!follow || !REDIRECTS.has(response.status) || !location) return { response, url };
    await response.body?.cancel();
    if (hop === 5)
      throw new ReveilleError({ status: 400, code: "too_many_redirects", message: "More than five redirects." });
    const next = checkUrl(new URL(location, url).href, list);
    // Any header may carry a credential under a name only the operator knows, so only harmless ones cross an origin.
    if (next.origin !== url.origin)
      for (const name of [...headers.keys()]) if (!HARMLESS.has(name)) headers.delete(name);
    if (response.status === 303 || (response.status < 303 && method === "POST")) method = "GET";
    url = next;
  }
}
