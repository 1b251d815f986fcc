import careful from "./policies/careful.md";
import open from "./policies/open.md";
import strict from "./policies/strict.md";
import type { TrustLevel } from "./types";

/** The policies that ship, as text (`connectonion.md` (f), default policies). None carries a code of its own. */
export const PRESETS: Record<TrustLevel, string> = { open, careful, strict };
