import { consumeDead } from "./dead.consumer";
import type { ConsumerEnv } from "./env";
import { reportState } from "./state";
import { consumeWakes } from "./wake.consumer";

/** The consumer Worker. Wiring only. Queue names may carry an environment's suffix, so they are matched by their stem. */
export default {
  queue: async (batch, env) => {
    if (batch.queue.includes("wake-dead")) await consumeDead(batch, env, "wake");
    else if (batch.queue.includes("probe-dead")) await consumeDead(batch, env, "probe");
    else await consumeWakes(batch, env);
  },
  scheduled: (_controller, env) => reportState(env),
} satisfies ExportedHandler<ConsumerEnv>;
