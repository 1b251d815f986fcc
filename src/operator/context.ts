/** What every page knows about its reader and its moment. Pages get it as data, so they stay pure functions. */
export interface PageContext {
  /** Reveille time of this rendering, ms. */
  now: number;
  /** Speed of the clock; 1 outside demos and drills. */
  rate: number;
  /** IANA zone of the reader. */
  zone: string;
  /** Path with query, as asked for. */
  path: string;
  /** CSRF token of this session; empty when nobody is signed in. */
  csrf: string;
  /** One key a rendering: the same form sent twice from it acts once. */
  formKey: string;
  /** For error texts. */
  request: string;
}

/** A part of a page that could or could not be read. Each section fails alone. */
export type Part<T> = { ok: true; value: T } | { ok: false; what: string; code: string };

/** The one-line answer to an act, carried over a redirect. */
export interface Flash {
  text: string;
  bad?: boolean | undefined;
  /** A form that takes the act back. */
  undo?: { action: string; fields: Record<string, string> } | undefined;
}

/** What the page frame shows on every page. */
export interface ShellData {
  /** When the last watch cycle finished, ms; 0 = never. */
  looked_at: number;
  blind: boolean;
  unread: number;
  open: number;
  switches: {
    paused: boolean;
    killed: boolean;
    muted_until: number | null;
    unreadable: boolean;
    changes: Record<string, { at: number; by: string }>;
  };
}
