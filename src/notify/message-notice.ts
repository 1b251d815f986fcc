import * as z from "zod";
import { type Frame, TITLE_MAX } from "./notice";
import { clipWords } from "./text";
import type { Notice } from "./types";

/** What an `undelivered` wake carries: a message of a wake hook that did not reach its recipient. */
export const undeliveredPayload = z.object({
  hook_id: z.string(),
  title: z.string(),
  to: z.string().nullable(),
  error: z.string(),
});

/** The words for a message that is given up. It is in the dead letters, where it can be sent again. */
export function composeUndelivered(input: Frame & z.infer<typeof undeliveredPayload>): Notice {
  const { hook_id, title, to, error, at } = input;
  return {
    id: input.id,
    event: "undelivered",
    severity: "warning",
    title: clipWords(`▲ Not delivered: a message of hook "${title}"`, TITLE_MAX),
    body: `Hook ${hook_id} took a message that never reached its recipient${to === null ? "" : ` (${to})`}. It is kept: correct the cause, then send it again from the dead letters.`,
    quote: error,
    incident_id: null,
    target_id: null,
    url: `${input.publicUrl}/audit?seam=wake.dead`,
    rehearsal: false,
    actions: input.actions ?? [],
    at,
  };
}
