/** What came of reading a body: at most `cap` bytes are ever held. */
export interface CappedBody {
  bytes: Uint8Array;
  truncated: boolean;
}

/** Reads a body up to `cap` bytes and drops the rest of the stream. */
export async function readCapped(body: ReadableStream<Uint8Array> | null, cap: number): Promise<CappedBody> {
  if (!body) return { bytes: new Uint8Array(), truncated: false };
  const reader = body.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (size + value.length > cap) {
      parts.push(value.subarray(0, cap - size));
      await reader.cancel().catch(() => {});
      return { bytes: join(parts), truncated: true };
    }
    parts.push(value);
    size += value.length;
  }
  return { bytes: join(parts), truncated: false };
}

function join(parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** `Retry-After` in ms (seconds or an HTTP date), or null when absent or unreadable. */
export function retryAfterMs(headers: Headers, now: number): number | null {
  const raw = headers.get("retry-after")?.trim();
  if (!raw) return null;
  if (/^\d{1,9}$/.test(raw)) return Number(raw) * 1000;
  const at = Date.parse(raw);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
