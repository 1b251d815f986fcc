import { PROBER_CRON, TASKS_CRON } from "./crons";
import { consumeDead } from "./dead.consumer";
import type { ConsumerEnv } from "./env";
import { receiveMail } from "./mail.consumer";
import { consumeRuns } from "./runs.consumer";
import { consumeSlo } from "./slo.consumer";
import { probeMinute } from "./slo-prober";
import { reportState } from "./state";
import { runTasks } from "./tasks";
import { TrustTier } from "./trust-tier";
import { consumeWakes } from "./wake.consumer";

/** The consumer Worker. Wiring only. Queue names may carry an environment's suffix, so they are matched by their stem. */
export default {
  queue: async (batch, env) => {
    if (batch.queue.includes("wake-dead")) await consumeDead(batch, env, "wake");
    else if (batch.queue.includes("probe-dead")) await consumeDead(batch, env, "probe");
    else if (batch.queue.includes("runs-dead")) await consumeDead(batch, env, "run");
    else if (batch.queue.includes("slo-dead")) await consumeDead(batch, env, "slo");
    else if (batch.queue.includes("slo")) await consumeSlo(batch, env);
    else if (batch.queue.includes("runs")) await consumeRuns(batch, env);
    else await consumeWakes(batch, env);
  },
  email: (message, env) => receiveMail(message, env),
  scheduled: ({ cron }, env) =>
    cron === PROBER_CRON ? probeMinute(env) : cron === TASKS_CRON ? runTasks(env) : reportState(env),
} satisfies ExportedHandler<ConsumerEnv>;

export { TrustTier };
