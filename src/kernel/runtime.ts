import { type Clock, makeClock } from "./clock";
import { type Config, type ConfigProblem, readConfig, secretValues } from "./config";
import { type Log, makeLog } from "./log";
import { makeRedactor, type Redactor } from "./redact";

/** What every entry point needs and builds the same way: parsed settings, time, redaction, the log. */
export interface Runtime {
  config: Config;
  problems: ConfigProblem[];
  clock: Clock;
  redact: Redactor;
  log: Log;
  /** The raw bindings, for credentials by name. Never logged. */
  vars: Record<string, unknown>;
}

const cache = new WeakMap<object, Map<string, Runtime>>();

/** The runtime of an isolate, built once per bindings object and scope (it depends on nothing else). */
export function runtimeOf(env: object, scope: string): Runtime {
  const scopes = cache.get(env) ?? new Map<string, Runtime>();
  cache.set(env, scopes);
  const found = scopes.get(scope);
  if (found) return found;
  const vars = env as Record<string, unknown>;
  const { config, problems } = readConfig(vars);
  const redact = makeRedactor(secretValues(vars));
  const made: Runtime = {
    config,
    problems,
    clock: makeClock(config.clockRate),
    redact,
    log: makeLog(scope, redact),
    vars,
  };
  scopes.set(scope, made);
  return made;
}
