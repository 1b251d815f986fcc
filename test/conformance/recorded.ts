import type { RecordedIncident } from "../support/incident-row";

/** One recorded incident: rows in, the text a model gave, what must come of it, and rules to judge a fresh answer by. */
export interface Recording {
  name: string;
  about: string;
  incident: RecordedIncident;
  /** The reply's text, word for word. */
  reply: string;
  expect: {
    title: string;
    kept: string[];
    dropped: number;
    guess: boolean;
    /** The action that survives, or null. */
    action: string | null;
    error: string | null;
    says: string[];
    never: string[];
    /** What a cited row must hold: the citation is about what it claims. */
    cited: Record<string, string>;
  };
  /** Patterns over summary, cause and next step of a fresh answer, in any case: all of `cause`, none of `forbid`. */
  score: { cause: string[]; forbid: string[] };
}
