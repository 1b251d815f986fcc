import type { Answer } from "../types";

/** What Discord gets within three seconds, in the HTTP answer (chat-platforms §2.1). */

const EPHEMERAL = 64;

const json = (value: unknown): Answer => ({
  status: 200,
  body: JSON.stringify(value),
  headers: { "content-type": "application/json" },
});

export const PONG = json({ type: 1 });
/** Of a press: the message stays as it is, and nothing turns. */
export const LATER_SAME_MESSAGE = json({ type: 6 });
/** Autocomplete can't be put off. */
export const NO_CHOICES = json({ type: 8, data: { choices: [] } });

/** "Thinking…" until `@original` is edited. Who sees the reply is settled here, for good. */
export const later = (ephemeral: boolean): Answer =>
  json({ type: 5, ...(ephemeral ? { data: { flags: EPHEMERAL } } : {}) });

/** Words for this person alone, at once. */
export const whisper = (content: string): Answer =>
  json({ type: 4, data: { content: content.slice(0, 2_000), flags: EPHEMERAL, allowed_mentions: { parse: [] } } });

/** The same for whoever nobody hears, so that it tells nothing of who is known here. */
export const UNHEARD = whisper("Nobody here takes that from you. Link yourself first: /link");

export const isEphemeral = (flags: number | null | undefined): boolean => ((flags ?? 0) & EPHEMERAL) !== 0;
