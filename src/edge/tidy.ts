import { gatewayObject } from "../../durable-objects/gateway.stub";
import { listInstances } from "../gateway";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import type { EdgeEnv } from "./env";

const PAGE = 100;

/**
 * Has every instance drop what is older than it may keep. An object with traffic does so by itself; one that fell silent would
 * keep its last days' texts for ever, and an alarm for it would be a row with each event.
 */
export async function tidyGateways(env: EdgeEnv, runtime: Runtime): Promise<number> {
  let done = 0;
  let after: [string, string] | undefined;
  for (;;) {
    const page = await listInstances(env.DB, { after, limit: PAGE });
    for (const { tenant, instance } of page) {
      await gatewayObject(env.GATEWAY, { tenant, instance })
        .tidy()
        .then(() => done++)
        .catch((error) => runtime.log("warn", "gateway.untidy", { tenant, instance, error: describe(error) }));
      after = [tenant, instance];
    }
    if (page.length < PAGE) return done;
  }
}
