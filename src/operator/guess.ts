/** From one typed address to a target (operator-experience §5 step 2): kind, name and schedule are guessed, then editable. */

export interface NewForm {
  kind: "http" | "tcp" | "heartbeat";
  /** URL of an http target, host:port of a tcp one; empty for a heartbeat. */
  address: string;
  name: string;
  every: string;
  keyword: string;
  period: string;
  grace: string;
}

const EMPTY: NewForm = { kind: "http", address: "", name: "", every: "1m", keyword: "", period: "1d", grace: "5m" };

/** Ports that speak http often enough to be looked at that way when no scheme is typed. */
const WEB = new Set(["80", "443", "3000", "5000", "8000", "8080", "8443", "8787", "9000"]);

/** Guesses a target from an address: a URL or a bare host is http, `tcp://host:port` or a host with another port is tcp. */
export function guess(text: string, kind?: string): NewForm {
  const typed = text.trim().slice(0, 2000);
  if (kind === "heartbeat") return { ...EMPTY, kind: "heartbeat" };
  if (typed === "") return { ...EMPTY };
  const tcp = /^tcp:\/\/([^/]+)\/?$/i.exec(typed)?.[1];
  const bare = /^([^/\s:]+|\[[0-9a-f:.]+\]):(\d{1,5})$/i.exec(typed);
  if (tcp || (bare && !WEB.has(bare[2]!))) {
    const address = tcp ?? typed;
    return { ...EMPTY, kind: "tcp", address, name: address };
  }
  const local = /^(localhost|127\.|\[::1\])/i.test(typed);
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(typed)
    ? typed
    : `${local || bare?.[2] === "80" ? "http" : "https"}://${typed}`;
  return { ...EMPTY, address: url, name: nameOf(url) };
}

/** A name from a URL: its host without "www.", its port when it is unusual, and its first path part when there is one. */
function nameOf(url: string): string {
  if (!URL.canParse(url)) return "";
  const { host, pathname } = new URL(url);
  const first = pathname.split("/").find(Boolean);
  return `${host.replace(/^www\./, "")}${first ? `/${first}` : ""}`.slice(0, 80);
}

/** The API body of a form. Errors of its fields are the schema's to find. */
export function bodyOf(f: NewForm): Record<string, unknown> {
  const base = { name: f.name, every: f.every };
  if (f.kind === "heartbeat") return { ...base, kind: "heartbeat", config: { period: f.period, grace: f.grace } };
  if (f.kind === "http")
    return { ...base, kind: "http", config: { url: f.address, ...(f.keyword ? { keyword: f.keyword } : {}) } };
  const m = /^(?:tcp:\/\/)?(.+):(\d{1,5})\/?$/i.exec(f.address);
  return { ...base, kind: "tcp", config: { host: m?.[1] ?? f.address, port: Number(m?.[2] ?? 0) } };
}
