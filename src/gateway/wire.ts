import { clip } from "../kernel/errors";
import type { MediaItem, MediaRef, MessageEvent } from "../platform";
import { frameText, type OutFrame } from "./frames";
import type { StoredEvent } from "./types";

/** From what is stored to the frame a gateway gets (hermes-relay §1.5, §6). */

/** Pictures of one album are one event: the text of the first that has one, the media of all. */
export function mergeAlbum(events: StoredEvent[]): StoredEvent {
  const [first] = events;
  if (events.length === 1) return first!;
  const texts = events.map((e) => e.event.text).filter((t) => t !== "");
  return {
    ...first!,
    media: events.flatMap((e) => e.media),
    event: {
      ...first!.event,
      text: [...new Set(texts)].join("\n"),
      media: events.flatMap((e) => e.event.media),
      media_urls: events.flatMap((e) => e.event.media_urls),
    },
  };
}

/** The event with the files that were fetched for it, and a note for each that could not be. */
export function withMedia(event: MessageEvent, items: readonly MediaItem[], notes: readonly string[]): MessageEvent {
  if (items.length === 0 && notes.length === 0) return event;
  return {
    ...event,
    text: [event.text, ...notes].filter((t) => t !== "").join("\n"),
    media: [...event.media, ...items],
    media_urls: [...event.media_urls, ...items.map((m) => m.url)],
  };
}

/** Does this event need files before it can go? */
export const mediaOf = (stored: StoredEvent): readonly MediaRef[] => (stored.passthrough ? [] : stored.media);

/** The frame of an event; null when it can't be made small enough, which only a passthrough can't. */
export function composeFrame(stored: StoredEvent, event: MessageEvent, bufferId: string): OutFrame | null {
  if (stored.passthrough) {
    const frame: OutFrame = { type: "passthrough_forward", forward: { ...stored.passthrough }, bufferId };
    return frameText(frame) === null ? null : frame;
  }
  const inbound = (e: MessageEvent): OutFrame => ({ type: "inbound", event: e, bufferId });
  const whole = inbound(event);
  if (frameText(whole) !== null) return whole;
  // A platform's own limits are far below; what is left is bounded whatever its characters are written as (6 bytes each).
  const cut = inbound({
    ...event,
    text: `${clip(event.text, 60_000)}\n[cut: the message was larger than a gateway takes]`,
    ...(event.reply_to ? { reply_to: { ...event.reply_to, text: clip(event.reply_to.text ?? "", 4_000) } } : {}),
  });
  return frameText(cut) === null ? null : cut;
}
