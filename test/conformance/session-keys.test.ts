import { expect, it } from "vitest";
import {
  type KeyOptions,
  type KeySource,
  ownsKey,
  readSessionKey,
  sessionKey,
  sessionKeyAliases,
} from "../../src/gateway";
import vectors from "./vectors/hermes-session-keys.json";

/** The 32 session-key vectors of hermes-relay §6.2, in the current and the legacy form. */

interface Vector {
  id: string;
  source: KeySource;
  options: KeyOptions;
  expected_key: string;
  legacy_key?: string;
}
const all = vectors.vectors as Vector[];

it("there are 32", () => {
  expect(all).toHaveLength(32);
  expect(all.filter((v) => v.legacy_key)).toHaveLength(9);
});

it.each(all)("$id", ({ source, options, expected_key, legacy_key }) => {
  expect(sessionKey(source, options)).toBe(expected_key);
  expect(sessionKey(source, options, true)).toBe(legacy_key ?? expected_key);
});

it.each(all)("$id is found among the aliases of its source", ({ source, options, expected_key, legacy_key }) => {
  const named = sessionKeyAliases({ ...source, profile: options.profile });
  // A prospective thread is only made where we make threads ourselves, which we don't.
  if (source.prospective_thread_id) return expect(named).toContain(legacy_key);
  expect(named).toContain(expected_key);
  if (legacy_key) expect(named).toContain(legacy_key);
});

it("a new build's key of an unthreaded Slack message ends in its ts", () => {
  const source = {
    platform: "slack",
    chat_id: "C1",
    chat_type: "group",
    user_id: "U1",
    scope_id: "T1",
    message_id: "17.2",
  };
  expect(sessionKeyAliases(source)).toEqual(
    expect.arrayContaining([
      "agent:main:slack:group:T1:C1:17.2",
      "agent:main:slack:group:C1:17.2",
      "agent:main:slack:group:T1:C1:U1",
    ]),
  );
});

it("what a key speaks of, and whose it is", () => {
  const owns = (key: string, chat: string, author: string, scope: string | null = null): boolean => {
    const read = readSessionKey(key);
    return read !== null && ownsKey(read, chat, [{ author, scope }]);
  };
  expect(owns("agent:main:slack:dm:T1:D1", "D1", "U1", "T1")).toBe(true);
  expect(owns("agent:main:slack:dm:D1", "D1", "U1", "T1")).toBe(true);
  expect(owns("agent:main:slack:dm:T2:D1", "D1", "U1", "T1")).toBe(false);
  expect(owns("agent:main:slack:group:T1:C1:U1", "C1", "U1", "T1")).toBe(true);
  expect(owns("agent:main:slack:group:T1:C1:U2", "C1", "U1", "T1")).toBe(false);
  expect(owns("agent:main:slack:group:T1:C1:1718.2", "C1", "U1", "T1")).toBe(true);
  expect(owns("agent:main:discord:group:7001:501", "7001", "501")).toBe(true);
  expect(owns("agent:main:discord:group:7001:502", "7001", "501")).toBe(false);
  expect(owns("agent:main:discord:thread:8001:8001", "8001", "501")).toBe(true);
  expect(owns("agent:main:discord:thread:8001:8001:502", "8001", "501")).toBe(false);
  expect(owns("agent:main:telegram:forum:-100:15", "-100", "42")).toBe(true);
  expect(owns("agent:main:telegram:group:-100:43", "-100", "42")).toBe(false);
  for (const none of [
    "",
    "x",
    "agent:main",
    "agent:main:slack:dm",
    "agent::slack:dm:D1",
    `agent:main:slack:${"x:".repeat(20)}`,
  ])
    expect(readSessionKey(none)).toBeNull();
});
