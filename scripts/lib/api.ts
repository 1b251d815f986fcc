/** An answer of the operator API that was no success; `message` is the API's own words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field: string | null,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

interface ErrorBody {
  error?: { code?: string; message?: string; field?: string; hint?: string };
}

export interface Api {
  /** Calls the operator API and returns its JSON. @throws ApiError on any status outside 2xx. */
  call<T>(method: string, path: string, body?: unknown): Promise<T>;
}

/** A client of a Reveille edge with an operator token; `headers` are added to each call. */
export function operatorApi(baseUrl: string, token: string, headers: Record<string, string> = {}): Api {
  return {
    call: async <T>(method: string, path: string, body?: unknown): Promise<T> => {
      const response = await fetch(baseUrl + path, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      if (response.ok) return (text === "" ? null : JSON.parse(text)) as T;
      throw toError(method, path, response.status, text);
    },
  };
}

function toError(method: string, path: string, status: number, text: string): ApiError {
  try {
    const { error } = JSON.parse(text) as ErrorBody;
    if (error?.message) {
      const message = error.hint ? `${error.message} ${error.hint}` : error.message;
      return new ApiError(status, error.code ?? "unknown", message, error.field ?? null);
    }
  } catch {
    // Not our error body: say what was seen.
  }
  return new ApiError(status, "unknown", `${method} ${path} answered ${status}.`, null);
}

/** A fresh login link (single use, 10 minutes). */
export async function loginLink(api: Api, publicUrl: string): Promise<string> {
  const { code } = await api.call<{ code: string }>("POST", "/api/v1/login-codes");
  return `${publicUrl.replace(/\/+$/, "")}/login?code=${encodeURIComponent(code)}`;
}
