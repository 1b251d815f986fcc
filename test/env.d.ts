/// <reference path="support/provided.d.ts" />

declare namespace Cloudflare {
  /** The runner holds what both Workers hold, because the consumer's handlers are also tested inside it. */
  interface Env {
    DB: D1Database;
    MEDIA: R2Bucket;
    PROBE_QUEUE: Queue;
    WAKE_QUEUE: Queue;
    AUTH_LIMIT: RateLimit;
    BEAT_LIMIT: RateLimit;
    EMAIL: SendEmail;
    TARGET: DurableObjectNamespace;
    SWITCHBOARD: DurableObjectNamespace;
    TEST_MIGRATIONS: import("cloudflare:test").D1Migration[];
  }
}
