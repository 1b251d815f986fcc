import { describe, expect, it } from "vitest";
import { VENDORS } from "../../src/kernel/config";
import { envelopeOf, isEnvelopeEnabled } from "../../src/watch/envelopes";

/** Acceptance 7 of kora-watch §11 and the ruling of design §11: a fix is off unless an operator turned it on. */

const unset = { killed: false, envelopes: {} };
const FLY = "REVEILLE_AUTOFIX_FLY_ENABLED";

describe("envelope flag", () => {
  it.each(["TRUE ", "true", "1", "yes", "On", " on\t"])("%o turns fly on", (text) => {
    expect(isEnvelopeEnabled("fly", { [FLY]: text }, unset)).toBe(true);
  });
  it.each(["enabled", "2", "false", "0", "off", "truee", "", "   "])("%o does not", (text) => {
    expect(isEnvelopeEnabled("fly", { [FLY]: text }, unset)).toBe(false);
  });
  it("unset is off", () => expect(isEnvelopeEnabled("fly", {}, unset)).toBe(false));
  it("the original name works, and the primary name wins", () => {
    const old = "KORA_PROBE_AUTOFIX_FLY_ENABLED";
    expect(isEnvelopeEnabled("fly", { [old]: "true" }, unset)).toBe(true);
    expect(isEnvelopeEnabled("fly", { [old]: "true", [FLY]: "no" }, unset)).toBe(false);
  });
  it.each(["supabase", "vercel", "sentry", "doppler"])("%s never, whatever is set", (probe) => {
    const vars = Object.fromEntries(VENDORS.map((v) => [`REVEILLE_AUTOFIX_${v.toUpperCase()}_ENABLED`, "true"]));
    expect(isEnvelopeEnabled(probe, vars, { killed: false, envelopes: { [probe]: true } })).toBe(false);
    expect(envelopeOf(probe)).toMatchObject({ fix_name: "(none)", capability: null });
  });
  it.each(["http", "internal", "", "FLY", "__proto__", "constructor"])("a probe without a row (%o) never", (probe) => {
    expect(isEnvelopeEnabled(probe, { [FLY]: "true" }, { killed: false, envelopes: { [probe]: true } })).toBe(false);
  });
  it("the switch decides when it is set; other text in the variable forces off; killed beats all", () => {
    const on = { killed: false, envelopes: { fly: true } };
    expect(isEnvelopeEnabled("fly", {}, on)).toBe(true);
    expect(isEnvelopeEnabled("fly", { [FLY]: "off" }, on)).toBe(false);
    expect(isEnvelopeEnabled("fly", { [FLY]: "true" }, { killed: false, envelopes: { fly: false } })).toBe(false);
    expect(isEnvelopeEnabled("fly", { [FLY]: "true" }, { killed: true, envelopes: { fly: true } })).toBe(false);
  });
  it("fly's bounds are declared", () => {
    expect(envelopeOf("fly")).toEqual({
      fix_name: "restart_unhealthy_machine",
      in_scope: ["single_machine_not_started"],
      out_of_scope: [
        "deploy_rollback",
        "scale_up",
        "scale_down",
        "multi_machine_restart",
        "machine_destroy",
        "app_create",
        "config_change",
      ],
      capability: "probe_autofix_fly_restart",
    });
  });
});
