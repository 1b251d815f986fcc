import type { ConsumerEnv } from "../../../src/consumer/env";
import consumer, { TrustTier } from "../../../src/consumer/index";
import { counted, meterBatch, meterEnv, settle } from "../relay/meter.worker";

/** The consumer Worker as it ships, with a meter on everything that is billed. `GET /counted` on its own socket reads it. */
export default {
  ...consumer,
  queue: (batch, env) => {
    meterBatch(batch);
    return consumer.queue(batch, meterEnv(env));
  },
  fetch: () => {
    settle();
    return Response.json(counted);
  },
} satisfies ExportedHandler<ConsumerEnv>;

export { TrustTier };
