/** Everything a caller may be told about a failure. `internal` is for the log only and is redacted there. */
export interface Fault {
  status: number;
  code: string;
  message: string;
  field?: string;
  hint?: string;
  internal?: string;
}

/** The one error class that crosses a border: it knows its HTTP status, its public words and its private words. */
export class ReveilleError extends Error {
  readonly status: number;
  readonly code: string;
  readonly field: string | undefined;
  readonly hint: string | undefined;
  readonly internal: string | undefined;

  constructor(fault: Fault) {
    super(fault.message);
    this.name = "ReveilleError";
    this.status = fault.status;
    this.code = fault.code;
    this.field = fault.field;
    this.hint = fault.hint;
    this.internal = fault.internal;
  }

  /** The body of design §8: `{error:{code, message, field?, hint?}}`. */
  toBody(): { error: { code: string; message: string; field?: string; hint?: string } } {
    return {
      error: {
        code: this.code,
        message: this.message,
        ...(this.field ? { field: this.field } : {}),
        ...(this.hint ? { hint: this.hint } : {}),
      },
    };
  }
}

export const badRequest = (code: string, message: string, field?: string, hint?: string): ReveilleError =>
  new ReveilleError({ status: 400, code, message, ...(field ? { field } : {}), ...(hint ? { hint } : {}) });

export const notFound = (what: string, id: string): ReveilleError =>
  new ReveilleError({
    status: 404,
    code: "not_found",
    message: `No ${what} ${clip(id, 80)}.`,
    hint: `Check the id, or list them: GET /api/v1/${what}s`,
  });

/** The text of anything thrown, with its class name, for logs and rows. Never call it on a value that may hold a body. */
export function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : `thrown: ${String(error)}`;
}

/** Cuts a text at `max` characters with an ellipsis. */
export function clip(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}

/** How an object's method answers a person's act: only the message of a thrown error crosses RPC, so a fault is a value. */
export type Reply<T> = { ok: true; value: T } | { ok: false; fault: Fault };

/** Runs `work` and turns a ReveilleError into a value; any other throw stays one. */
export async function reply<T>(work: () => Promise<T>): Promise<Reply<T>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    if (!(error instanceof ReveilleError)) throw error;
    const { status, code, message, field, hint } = error;
    return { ok: false, fault: { status, code, message, ...(field ? { field } : {}), ...(hint ? { hint } : {}) } };
  }
}

/** The value of a reply, or its fault thrown again on this side. */
export function unwrap<T>(answer: Reply<T>): T {
  if (answer.ok) return answer.value;
  throw new ReveilleError(answer.fault);
}
