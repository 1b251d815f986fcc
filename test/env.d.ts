/// <reference path="support/provided.d.ts" />

declare namespace Cloudflare {
  type Edge = import("../src/edge/env").EdgeEnv;
  type Consumer = import("../src/consumer/env").ConsumerEnv;

  /** The runner holds what both Workers hold, because the consumer's handlers are also tested inside it. */
  interface Env extends Edge, Omit<Consumer, keyof Edge> {
    TEST_MIGRATIONS: import("cloudflare:test").D1Migration[];
  }

  /** Types `exports.default` of "cloudflare:workers". */
  interface GlobalProps {
    mainModule: typeof import("../src/edge/index");
  }
}
