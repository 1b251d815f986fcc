import { errorFrame } from "../src/relay";

/** Small acts on a line's socket that must never throw because it has just been closed. */

export const isOpen = (ws: WebSocket): boolean => ws.readyState === WebSocket.OPEN;

export function tell(ws: WebSocket, text: string): void {
  if (isOpen(ws)) ws.send(text);
}

/** Keeps what belongs to the socket over hibernation. */
export function keep(ws: WebSocket, attached: object): void {
  if (isOpen(ws)) ws.serializeAttachment(attached);
}

/** ERROR, and the close unless `code` is null: then the line goes on. */
export function refuse(ws: WebSocket, error: string, code: number | null, more: Record<string, unknown> = {}): void {
  tell(ws, errorFrame(error, more));
  if (code !== null) close(ws, code, error);
}

/** Completes a close that the other side has begun; without it stock clients wait for half a minute. */
export function answerClose(ws: WebSocket, code: number, reason: string): void {
  try {
    // 1005 and 1006 say that no code came; they must not be sent.
    ws.close(code === 1005 || code === 1006 ? 1000 : code, reason);
  } catch {
    // Closed already.
  }
}

export function close(ws: WebSocket, code: number, reason: string): void {
  // The platform takes 123 bytes of reason.
  if (isOpen(ws)) ws.close(code, reason.replace(/[^\x20-\x7e]/g, "?").slice(0, 120));
}
