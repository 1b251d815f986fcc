import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { claimSignature, forgetExpired, LEDGER_SCHEMA } from "../../src/session";

/** Proves the one-use ledger on an object's real SQLite: claims count, refusals write nothing, old rows go. */

let n = 0;
const inObject = (work: (sql: SqlStorage) => void): Promise<void> => {
  const stub = env.TARGET.get(env.TARGET.idFromName(`ledger-${++n}`));
  return runInDurableObject(stub, (_, state) => {
    state.storage.sql.exec(LEDGER_SCHEMA);
    // A second wake runs the schema again.
    state.storage.sql.exec(LEDGER_SCHEMA);
    work(state.storage.sql);
  });
};
const connect = { signature_hash: "a".repeat(64), expires_s: 1300, ts_shape: true, has_nonce: false };
const command = { signature_hash: "b".repeat(64), expires_s: 1300.5, ts_shape: false, has_nonce: true };

describe("claimSignature", () => {
  it("lets a TypeScript CONNECT through five times in two seconds, then no more", () =>
    inObject((sql) => {
      const claims = [0, 0.3, 0.6, 0.9, 1.2, 1.5].map((s) => claimSignature(sql, connect, 1000 + s));
      expect(claims).toEqual(["fresh", "tolerated", "tolerated", "tolerated", "tolerated", "refused"]);
      expect(sql.exec("SELECT uses, first_s FROM used_signature").one()).toEqual({ uses: 5, first_s: 1000 });
    }));

  it("takes a command once, however soon it comes back", () =>
    inObject((sql) => {
      expect([1000, 1000, 1299].map((now) => claimSignature(sql, command, now))).toEqual([
        "fresh",
        "refused",
        "refused",
      ]);
      expect(claimSignature(sql, command, 1000, { owns_session: true })).toBe("refused");
      expect(sql.exec("SELECT uses FROM used_signature").one()).toEqual({ uses: 1 });
    }));

  it("forgets a signature only when it can't be valid any more", () =>
    inObject((sql) => {
      claimSignature(sql, command, 1000);
      forgetExpired(sql, 1300.5);
      expect(claimSignature(sql, command, 1300.5)).toBe("refused");
      forgetExpired(sql, 1301);
      expect(sql.exec("SELECT count(*) AS n FROM used_signature").one()).toEqual({ n: 0 });
    }));
});
