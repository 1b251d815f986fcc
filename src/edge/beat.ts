import { readVar } from "../kernel/config";
import type { Runtime } from "../kernel/runtime";
import { beatToken, type Target } from "../watch";

/** The full ping URL of a heartbeat target, or undefined while REVEILLE_BEAT_KEY is unset. */
export async function beatPath(env: object, runtime: Runtime, target: Target): Promise<string | undefined> {
  const key = readVar(env as Record<string, unknown>, "REVEILLE_BEAT_KEY");
  return key ? `${runtime.config.publicUrl}/beat/${await beatToken(key, target)}` : undefined;
}
