import { describe } from "../kernel/errors";
import { runtimeOf } from "../kernel/runtime";
import { markFailed, markOk, noteSetup, startEngine } from "../listeners";
import { allChannels } from "../notify";
import { engineLine, settingsOf } from "../reason";
import type { ConsumerEnv } from "./env";
import { mailSetup } from "./mail.consumer";

/**
 * What the consumer says about itself every five minutes: the edge believes it for ten (design §7). A missing engine is `none`
 * and healthy; a channel that is not set up is a note, not an error.
 */
export async function reportState(env: ConsumerEnv): Promise<void> {
  const runtime = runtimeOf(env, "consumer");
  const now = runtime.clock.now();
  const problems = runtime.problems.map((p) => p.message).join(" ");
  const channel = (name: string): string => {
    const missing = allChannels.find((c) => c.name === name)?.missing(runtime) ?? [];
    return missing.length ? `not set up: ${missing.join(", ")}` : "set up";
  };
  const settings = settingsOf(runtime);
  const engine = startEngine(settings);
  try {
    await env.DB.batch([
      problems ? markFailed(env.DB, "probe_wake", now, problems) : markOk(env.DB, "probe_wake", now),
      noteSetup(env.DB, "reasoning_engine", now, engine.error, engine.ok ? engineLine(settings) : null),
      noteSetup(env.DB, "slack_client", now, null, channel("slack")),
      noteSetup(env.DB, "purelymail_client", now, null, channel("email")),
      noteSetup(env.DB, "email_inbound_imap", now, null, mailSetup(runtime)),
      noteSetup(env.DB, "alert_wake", now, null),
    ]);
  } catch (error) {
    runtime.log("error", "state.unwritten", { error: describe(error) });
  }
}
