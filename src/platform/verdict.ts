/** What a verifier says of a request (chat-platforms §0). `bad_key` is our own fault: 500, and refused at start. */
export type Verdict = "ok" | "missing_header" | "bad_header" | "stale_timestamp" | "bad_signature" | "bad_key";
