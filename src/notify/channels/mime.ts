import { utf8 } from "../../kernel/crypto";
import { plain } from "../text";

export interface Mail {
  from: string;
  to: string;
  subject: string;
  text: string;
  /** Without angle brackets. */
  messageId: string;
  /** Message-ID of the thread's first mail, without angle brackets. */
  inReplyTo: string | null;
  date: Date;
}

const base64 = (text: string): string => {
  let binary = "";
  for (const byte of utf8(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
};

/** RFC 2047: encoded words of at most 75 characters, split between characters, folded. ASCII stays readable. */
export function encodeHeader(text: string): string {
  const flat = plain(text);
  if (/^[\u0020-\u007e]*$/.test(flat) && !flat.includes("=?")) return flat;
  const words: string[] = [];
  let part = "";
  for (const character of flat) {
    // 45 bytes make 60 base64 characters; with `=?UTF-8?B?` and `?=` that is 72.
    if (utf8(part + character).length > 45) {
      words.push(part);
      part = "";
    }
    part += character;
  }
  words.push(part);
  return words.map((word) => `=?UTF-8?B?${base64(word)}?=`).join("\r\n ");
}

/** A mail address that can't smuggle a header in. */
export const isAddress = (text: string): boolean => /^[^\s<>"(),:;\\@]{1,64}@[A-Za-z0-9.-]{1,255}$/.test(text);

/** RFC 5322 text mail in UTF-8, body as base64 in lines of 76. */
export function mime(mail: Mail): string {
  const body = base64(mail.text.replace(/\r?\n/g, "\r\n")).replace(/.{76}(?=.)/g, "$&\r\n");
  const thread = mail.inReplyTo ? [`In-Reply-To: <${mail.inReplyTo}>`, `References: <${mail.inReplyTo}>`] : [];
  return [
    `From: Reveille <${mail.from}>`,
    `To: <${mail.to}>`,
    `Subject: ${encodeHeader(mail.subject)}`,
    `Date: ${mail.date.toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${mail.messageId}>`,
    ...thread,
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    body,
    "",
  ].join("\r\n");
}
