/** In front of our action ids, so that other button presses of the same app (`hp1:…`) are told apart. */
export const BUTTON_PREFIX = "rv1:";
/** The link button; platforms report its press too, and it does nothing. */
export const OPEN_BUTTON = "rv1-open";

/** The opaque action id of a pressed button, or null when the button is not ours. */
export function actionIdOf(data: string): string | null {
  return /^rv1:[A-Za-z0-9_-]{16,40}$/.test(data) ? data.slice(BUTTON_PREFIX.length) : null;
}
