import { describe, expect, it } from "vitest";
import { liveOf, openAll, resealed, withSecret } from "../../src/gateway";
import { appVar, readConfig, secretValues } from "../../src/kernel/config";
import { open, SealError, seal, sealedWith, sealKeys } from "../../src/vault";

/** What may be at rest: sealed texts, their keys and places, and the list of a gateway's secrets. */

const K1 = "11".repeat(32);
const K2 = "a2".repeat(32);
const keys = (now: string, old = "") =>
  sealKeys({ REVEILLE_VAULT_KEY: now, REVEILLE_VAULT_KEY_OLD: old }, "REVEILLE_VAULT_KEY");

describe("a sealed text", () => {
  it("opens in its own place alone, and shows nothing", async () => {
    const k = await keys(K1);
    const sealed = await seal(k, "chat:t:a", "https://hooks.slack.com/secret ✓");
    expect(sealed).toMatch(/^v1\.[0-9a-f]{8}\.[\w-]{16}\.[\w-]+$/);
    expect(sealed).not.toContain("hooks");
    expect(await open(k, "chat:t:a", sealed)).toBe("https://hooks.slack.com/secret ✓");
    await expect(open(k, "chat:t:b", sealed)).rejects.toThrow(SealError);
    expect(await seal(k, "chat:t:a", "same")).not.toBe(await seal(k, "chat:t:a", "same"));
  });

  it("does not open when any part of it is changed", async () => {
    const k = await keys(K1);
    const sealed = await seal(k, "x", "secret");
    const parts = sealed.split(".");
    const flip = (t: string): string => (t[0] === "A" ? "B" : "A") + t.slice(1);
    for (const at of [2, 3]) {
      const broken = parts.map((p, i) => (i === at ? flip(p) : p)).join(".");
      await expect(open(k, "x", broken)).rejects.toThrow(SealError);
    }
    for (const bad of ["", "v1", "v2" + sealed.slice(2), `${sealed}.x`, "v1.a.b.c", sealed.slice(0, -4)])
      await expect(open(k, "x", bad)).rejects.toThrow(SealError);
  });

  it("opens after a rotation, while the old key is there", async () => {
    const before = await seal(await keys(K1), "x", "secret");
    const both = await keys(K2, K1);
    expect([await open(both, "x", before), sealedWith(both, before)]).toEqual(["secret", "old"]);
    const again = await seal(both, "x", "secret");
    expect(sealedWith(both, again)).toBe("current");
    const after = await keys(K2);
    expect(await open(after, "x", again)).toBe("secret");
    await expect(open(after, "x", before)).rejects.toThrow(/no key/);
    expect(sealedWith(after, before)).toBe("unknown");
  });

  it("needs a key, and says which", async () => {
    await expect(keys("")).rejects.toThrow("REVEILLE_VAULT_KEY is not set");
    for (const bad of ["short", "zz".repeat(32), "11".repeat(31)])
      await expect(keys(bad)).rejects.toThrow("REVEILLE_VAULT_KEY must have 64 hex digits");
    await expect(keys(K1, "bad")).rejects.toThrow("REVEILLE_VAULT_KEY_OLD");
    expect(readConfig({ REVEILLE_GATEWAY_KEY: "nope" }).problems.map((p) => p.name)).toEqual(["REVEILLE_GATEWAY_KEY"]);
  });
});

describe("the secrets of a gateway", () => {
  const DAY = 86_400_000;
  const owner = { tenant: "t", id: "gw:1" };
  it("overlap for 24 h, newest first, and are for this gateway alone", async () => {
    const k = await keys(K1);
    const one = await withSecret(k, owner, [], "s1", 1_000);
    const two = await withSecret(k, owner, one, "s2", 2_000);
    const three = await withSecret(k, owner, two, "s3", 3_000);
    const live = (await openAll(k, owner, three, 3_000)).map((s) => [s.secret, s.retire_at]);
    // Rotating again does not give the first one more time.
    expect(live).toEqual([
      ["s3", null],
      ["s2", 3_000 + DAY],
      ["s1", 2_000 + DAY],
    ]);
    expect((await openAll(k, owner, three, 2_000 + DAY)).map((s) => s.secret)).toEqual(["s3", "s2"]);
    expect(liveOf(three, 3_000 + DAY)).toHaveLength(1);
    expect(await withSecret(k, owner, three, "s4", 5 * DAY)).toHaveLength(2);
    await expect(openAll(k, { ...owner, id: "gw:2" }, one, 1_000)).rejects.toThrow(SealError);
    await expect(openAll(k, { ...owner, tenant: "u" }, one, 1_000)).rejects.toThrow(SealError);
  });

  it("are sealed again under the new key, as they were", async () => {
    const list = await withSecret(await keys(K1), owner, [], "s1", 1_000);
    const both = await keys(K2, K1);
    const again = await resealed(both, owner, list, 2_000);
    expect((await openAll(await keys(K2), owner, again!, 2_000)).map((s) => s.secret)).toEqual(["s1"]);
    expect(await resealed(both, owner, again!, 2_000)).toBeNull();
  });
});

describe("a variable of another app", () => {
  const vars = {
    REVEILLE_SLACK_BOT_TOKEN: "xoxb-plain-000000",
    REVEILLE_SLACK_BOT_TOKEN__SECOND_APP: "xoxb-second-000000",
    REVEILLE_OPERATOR_TOKEN: "operator-token",
    REVEILLE_OPERATOR_TOKEN__SECOND: "not-a-thing",
  };
  it("is the app's own, else the plain one, and only of platforms", () => {
    const of = (app: string) => appVar(vars, "REVEILLE_SLACK_BOT_TOKEN", app);
    expect([of("second-app"), of("Second_App"), of("third")]).toEqual([
      "xoxb-second-000000",
      "xoxb-second-000000",
      "xoxb-plain-000000",
    ]);
    expect(appVar(vars, "REVEILLE_OPERATOR_TOKEN", "second")).toBe("operator-token");
  });
  it("is hidden like any secret", () => {
    expect(secretValues(vars)).toEqual(expect.arrayContaining(["xoxb-plain-000000", "xoxb-second-000000"]));
  });
});
