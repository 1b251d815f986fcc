import * as z from "zod";
import { toBase64Url, utf8 } from "../kernel/crypto";
import type { Flash } from "./context";

/** The line shown once after an act. It travels in a short-lived cookie, so the act itself can answer with a redirect. */

export const FLASH_COOKIE = "reveille_flash";
const SECONDS = 30;

const schema = z.strictObject({
  text: z.string().max(400),
  bad: z.boolean().optional(),
  undo: z
    .strictObject({
      // Only our own pages may be posted to, whatever the cookie says.
      action: z.string().regex(/^\/[A-Za-z0-9][A-Za-z0-9/_.%-]{0,200}$/),
      fields: z.record(z.string().max(40), z.string().max(300)),
    })
    .optional(),
});

/** The Set-Cookie value that carries a flash line. */
export function flashCookie(flash: Flash, secure: boolean): string {
  const text = toBase64Url(utf8(JSON.stringify({ ...flash, text: flash.text.slice(0, 400) })));
  return `${FLASH_COOKIE}=${text}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${SECONDS}${secure ? "; Secure" : ""}`;
}

export const noFlashCookie = (): string => `${FLASH_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0`;

/** Reads a flash cookie; anything we did not write is no flash. */
export function readFlash(cookie: string | undefined): Flash | null {
  if (!cookie || cookie.length > 4000) return null;
  try {
    const bytes = Uint8Array.from(atob(cookie.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    return schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return null;
  }
}
