import { join } from "node:path";
import { expect, it } from "vitest";
import { ROOT, WORKERS } from "../../scripts/lib/paths";
import { readWorkerConfig } from "../../scripts/lib/worker-options";

/** The consumer's environment for deployment is what runs locally, with Workers AI and nothing else beside it. */

const CONSUMER = WORKERS[1].config;

async function read(env?: string) {
  const { unstable_readConfig } = await import("wrangler");
  const config = unstable_readConfig({ config: join(ROOT, CONSUMER), ...(env ? { env } : {}) });
  const { name, main, compatibility_date, compatibility_flags, minify, triggers, observability } = config;
  const { d1_databases, durable_objects, queues, send_email, r2_buckets, services, ratelimits, vars, ai } = config;
  return {
    ai: ai?.binding ?? null,
    rest: {
      ...{ name, main, compatibility_date, compatibility_flags, minify, triggers, observability },
      ...{ d1_databases, durable_objects, queues, send_email, r2_buckets, services, ratelimits, vars },
    },
  };
}

it("production has Workers AI, local runs do not, and all else is equal", async () => {
  const [local, production] = [await read(), await read("production")];
  expect([local.ai, production.ai]).toEqual([null, "AI"]);
  expect(production.rest).toEqual(local.rest);
  expect(production.rest.queues.consumers?.length).toBeGreaterThan(4);
  expect((await readWorkerConfig(CONSUMER)).options).toMatchObject({ ai: undefined });
});
