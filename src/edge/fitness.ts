import { MINUTE } from "../kernel/clock";
import { readVar } from "../kernel/config";
import { describe } from "../kernel/errors";
import { runtimeOf } from "../kernel/runtime";
import { countFailures, health, LISTENERS, readiness, readListenerStates, registry, startAll } from "../listeners";
import type { EdgeEnv } from "./env";

/** Parts the edge sets up per isolate; each throws when it can't work at all. */
function inits(env: EdgeEnv): { name: string; init: () => void }[] {
  const vars = env as unknown as Record<string, unknown>;
  const need = (name: string): void => {
    if (!readVar(vars, name)) throw new Error(`${name} is not set`);
  };
  return [
    {
      name: "web",
      init: () => {
        need("REVEILLE_OPERATOR_TOKEN");
        need("REVEILLE_SESSION_KEY");
        const problem = runtimeOf(env, "edge").problems[0];
        if (problem) throw new Error(problem.message);
      },
    },
    {
      name: "webhooks",
      init: () => {
        if (!env.WAKE_QUEUE || !env.TARGET) throw new Error("the bindings WAKE_QUEUE and TARGET are missing");
      },
    },
  ];
}

/** The whole state of fitness, for /readyz, the API and the listeners page. */
export async function fitness(env: EdgeEnv) {
  const { clock, redact } = runtimeOf(env, "edge");
  const now = clock.now();
  const started = startAll(inits(env), (e) => redact.text(describe(e)));
  const [states, failures] = await Promise.all([readListenerStates(env.DB), countFailures(env.DB, now - 5 * MINUTE)]);
  const whole = health(LISTENERS, states, now, failures);
  return { now, whole, readiness: readiness(started, whole, registry.find) };
}
