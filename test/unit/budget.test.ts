import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  chooseModel,
  inputBound,
  monthOf,
  monthStart,
  needsEscalation,
  nextMonth,
  project,
  refusal,
  rungOf,
  worstCase,
} from "../../src/reason/budget";
import { resolveModel } from "../../src/reason/models";
import { costOf, priceOf, readPrices } from "../../src/reason/prices";
import { engineLine, readSettings } from "../../src/reason/settings";
import type { Rung } from "../../src/reason/types";

/** The rules of money and routing, without a store: rungs, model choice, worst cases, caps, prices, settings. */

const RUNGS: Rung[] = ["normal", "warn_75", "downshift_90", "hard_stop_100"];
const route = "slack_dm" as const;

describe("rungs", () => {
  it("turn at 75, 90 and 100 %", () => {
    const at = (used: number) => rungOf(used, 200);
    expect([0, 149.99, 150, 179.99, 180, 199.99, 200, 500].map(at)).toEqual([
      "normal",
      "normal",
      "warn_75",
      "warn_75",
      "downshift_90",
      "downshift_90",
      "hard_stop_100",
      "hard_stop_100",
    ]);
    expect([rungOf(0, 0), rungOf(0, Number.NaN)]).toEqual(["hard_stop_100", "hard_stop_100"]);
  });

  it("never fall when more is used", () => {
    const money = fc.double({ min: 0, max: 1_000, noNaN: true });
    fc.assert(
      fc.property(money, money, money, (a, b, pool) => {
        const [low, high] = a < b ? [a, b] : [b, a];
        return RUNGS.indexOf(rungOf(low, pool)) <= RUNGS.indexOf(rungOf(high, pool));
      }),
    );
  });
});

describe("the router", () => {
  const size = (more: Partial<Parameters<typeof chooseModel>[0]>) =>
    chooseModel({ rung: "normal", route, ...more })?.size ?? null;

  it("asks nobody at the hard stop, whatever else is true", () => {
    const all = { rung: "hard_stop_100", force: true, prefix: "/opus", iteration: 9, question: "decide" } as const;
    expect(size(all)).toBeNull();
  });

  it("knows only the small model from 75 % on", () => {
    for (const rung of ["warn_75", "downshift_90"] as const)
      expect(size({ rung, force: true, prefix: "/opus", iteration: 9, question: "what is the root cause?" })).toBe(
        "small",
      );
  });

  it("takes the large one when forced, deep in a tool loop, told to, or asked for a judgement", () => {
    expect(size({})).toBe("small");
    expect(size({ force: true })).toBe("large");
    expect([size({ iteration: 1 }), size({ iteration: 2 })]).toEqual(["small", "large"]);
    expect([size({ prefix: "/opus" }), size({ prefix: "/sonnet" })]).toEqual(["large", "small"]);
    expect(size({ question: "Should we roll back?" })).toBe("large");
    expect(size({ question: "Is anything down?" })).toBe("small");
  });

  it("asks again once when the small answer is unsure or too short", () => {
    const long = "x".repeat(201);
    const n = (input: string, answer: string, rung: Rung = "normal") => needsEscalation({ rung, input, answer });
    expect(n("why?", "I'm not sure what happened here, the data does not say anything about it at all.")).toBe(
      "uncertain",
    );
    expect(n(long, "Yes.")).toBe("too_short");
    expect(n("why?", "Yes.")).toBeNull();
    expect(n(long, "The machine exited with code 137 right after release v88 went out.")).toBeNull();
    expect(n(long, "Yes.", "warn_75")).toBeNull();
  });
});

describe("the worst case", () => {
  const price = { input: 1, output: 5, cache_write: 1.25, cache_read: 0.1 };
  const tokens = fc.integer({ min: 0, max: 50_000 });

  it("covers every run that keeps its limits", () => {
    fc.assert(
      fc.property(
        tokens,
        fc.integer({ min: 1, max: 4_000 }),
        fc.integer({ min: 1, max: 8 }),
        tokens,
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        (input, maxOutput, steps, growth, random) => {
          const next = (): number => random.next().value as number;
          let sent = input;
          let grown = 0;
          let usd = 0;
          const taken = 1 + Math.floor(next() * steps);
          for (let i = 0; i < Math.min(steps, taken); i++) {
            const read = Math.floor(next() * sent);
            const write = Math.floor(next() * (sent - read));
            const output = Math.floor(next() * (maxOutput + 1));
            usd += costOf(price, { input: sent - read - write, output, cache_read: read, cache_write: write });
            const results = Math.floor(next() * (growth - grown + 1));
            grown += results;
            sent += output + results;
          }
          return usd <= worstCase(price, input, maxOutput, steps, growth) + 1e-12;
        },
      ),
    );
  });

  it("counts bytes, not characters", () => {
    expect(inputBound(["日本語"], 0)).toBe(9 + 200);
    expect(inputBound(["a"], 2)).toBeGreaterThan(inputBound(["a"], 0));
  });
});

describe("a reservation", () => {
  const facts = { pool: 200, month_used: 0, route_day_used: 0, cap: null, incident_calls: 0 };
  const ask = { model: "m", route, incident_id: "i", worst_usd: 1 } as const;

  it("is refused without a price, and for any number that is none", () => {
    for (const worst_usd of [null, Number.NaN, Number.POSITIVE_INFINITY, -1])
      expect(refusal({ ...ask, worst_usd }, facts)).toMatchObject({ error: "unpriced_model" });
    expect(refusal({ ...ask, worst_usd: 0 }, facts)).toBeNull();
  });

  it("never takes more than the pool or the route's day", () => {
    const money = fc.double({ min: 0, max: 50, noNaN: true });
    fc.assert(
      fc.property(fc.array(money, { maxLength: 60 }), money, fc.option(money), (asks, pool, cap) => {
        let used = 0;
        for (const worst_usd of asks)
          if (refusal({ ...ask, worst_usd }, { ...facts, pool, cap, month_used: used, route_day_used: used }) === null)
            used += worst_usd;
        return used <= pool + 1e-6 && (cap === null || used <= cap + 1e-6);
      }),
    );
  });

  it("says what is used up", () => {
    const why = (f: Partial<Parameters<typeof refusal>[1]>) => refusal(ask, { ...facts, ...f })?.why;
    expect(why({ month_used: 199.5 })).toBe("This call may cost $1.00; $0.50 of the month's $200.00 is left.");
    expect(why({ cap: 1, route_day_used: 0.4 })).toBe(
      "This call may cost $1.00; slack_dm has used $0.40 of its $1.00 for 24 h.",
    );
    expect(why({ incident_calls: 6 })).toBe("This incident has had its 6 calls for 24 h.");
    expect(why({ incident_calls: 5 })).toBeUndefined();
  });
});

describe("the projection", () => {
  const start = Date.UTC(2026, 10, 1);
  const DAY = 86_400_000;
  it("says nothing on the first day, then goes on at the rate so far", () => {
    expect(project({ at: start + DAY - 1, spent: 5, pool: 200 })).toBeNull();
    expect(project({ at: start + 10 * DAY, spent: 20, pool: 200 })).toEqual({ month_usd: 60, empty_at: null });
    expect(project({ at: start + 10 * DAY, spent: 100, pool: 200 })?.empty_at).toBe(start + 20 * DAY);
    expect(project({ at: start + 10 * DAY, spent: 300, pool: 200 })?.empty_at).toBe(start + 10 * DAY);
    expect(project({ at: start + 10 * DAY, spent: 0, pool: 200 })).toEqual({ month_usd: 0, empty_at: null });
  });
});

it("months are UTC", () => {
  const last = Date.UTC(2026, 11, 31, 23, 59, 59, 999);
  expect([monthOf(last), monthOf(last + 1)]).toEqual(["2026-12", "2027-01"]);
  expect(nextMonth(last)).toBe(last + 1);
  expect(monthStart(last)).toBe(Date.UTC(2026, 11, 1));
});

describe("model ids", () => {
  const of = (id: string) => {
    const r = resolveModel(id);
    return r.ok ? `${r.provider} ${r.model}` : null;
  };
  it("route by prefix", () => {
    expect(of("claude-haiku-4-5")).toBe("anthropic claude-haiku-4-5");
    expect(of("opus")).toBe("anthropic claude-opus-4-5");
    expect(of(" Sonnet ")).toBe("anthropic claude-sonnet-4-5");
    expect(of("haiku-4-5")).toBe("anthropic claude-haiku-4-5");
    expect(of("@cf/meta/llama-3.1-8b-instruct")).toBe("workers-ai @cf/meta/llama-3.1-8b-instruct");
    expect(of("gpt-5-mini")).toBe("openai-compatible gpt-5-mini");
    expect(["o1", "o3-mini", "o4-mini"].map(of)).toEqual(
      ["o1", "o3-mini", "o4-mini"].map((m) => `openai-compatible ${m}`),
    );
    expect(of("openai:llama3:8b")).toBe("openai-compatible llama3:8b");
  });
  it("never fall through to another provider", () => {
    for (const id of [
      "",
      "llama3",
      "gpt",
      "o2",
      "o1x",
      "claude",
      "openai:",
      "@cf/",
      "mistral-large",
      "__proto__",
      "constructor",
      "gpt-4 turbo",
      "x".repeat(200),
    ])
      expect(of(id), id).toBeNull();
    fc.assert(
      fc.property(fc.string({ unit: "grapheme-ascii", maxLength: 30 }), (id) => {
        const known = /^\s*(claude-.|(opus|sonnet|haiku)(-.|\s*$)|@cf\/.|gpt-.|o[134](-.|\s*$)|openai:.)/i.test(id);
        return known || of(id) === null;
      }),
    );
  });
});

describe("prices", () => {
  it("are bundled for current Claude models and can be given", () => {
    const prices = readPrices('{"openai:local": {"input": 0, "output": 0}, "haiku": {"input": 2, "output": 10}}');
    expect(priceOf(prices, "claude-haiku-4-5")).toEqual({ input: 2, output: 10, cache_write: 2.5, cache_read: 2 });
    expect(priceOf(prices, "claude-sonnet-4-5-20250929")).toMatchObject({ input: 3, output: 15 });
    expect(priceOf(prices, "local")).toMatchObject({ input: 0, output: 0 });
    expect(priceOf(prices, "gpt-5")).toBeNull();
    expect(
      costOf(priceOf(readPrices(""), "claude-haiku-4-5")!, {
        input: 900,
        output: 100,
        cache_write: 400,
        cache_read: 1_000,
      }),
    ).toBeCloseTo(0.002, 10);
  });
  it("that can't be used are an error that names them", () => {
    for (const text of [
      "{",
      "[]",
      '{"gpt-x":{"input":-1,"output":1}}',
      '{"gpt-x":{"input":1}}',
      '{"gpt-x":{"input":1,"output":1,"in":2}}',
      '{"mystery":{"input":1,"output":1}}',
    ])
      expect(() => readPrices(text), text).toThrow(/REVEILLE_PRICES/);
  });
});

describe("settings", () => {
  it("are none without any variable, and the defaults with an Anthropic key", () => {
    expect(readSettings({})).toMatchObject({ engine: "none", small: null, large: null, missing: [] });
    expect(engineLine(readSettings({}))).toContain("none configured");
    const set = readSettings({ ANTHROPIC_API_KEY: "k" });
    expect(set).toMatchObject({ engine: "anthropic", missing: [] });
    expect(engineLine(set)).toBe("anthropic: claude-haiku-4-5, claude-sonnet-4-5");
  });
  it("name what a configured engine lacks", () => {
    const lacks = (vars: Record<string, unknown>) => readSettings(vars).missing.join("; ");
    expect(lacks({ LLM_API_KEY: "k" })).toBe("REVEILLE_MODEL_SMALL");
    expect(lacks({ LLM_API_KEY: "k", REVEILLE_MODEL_SMALL: "gpt-x" })).toBe("a price of gpt-x in REVEILLE_PRICES");
    expect(lacks({ REVEILLE_MODEL_SMALL: "haiku" })).toBe("REVEILLE_ANTHROPIC_API_KEY");
    expect(lacks({ ANTHROPIC_API_KEY: "k", REVEILLE_MODEL_LARGE: "gtp-5" })).toContain("REVEILLE_MODEL_LARGE");
    expect(lacks({ ANTHROPIC_API_KEY: "k", REVEILLE_PRICES: "{" })).toContain("REVEILLE_PRICES is not JSON");
    expect(lacks({ ANTHROPIC_API_KEY: "k", REVEILLE_ANTHROPIC_BASE_URL: "ftp://x" })).toContain(
      "REVEILLE_ANTHROPIC_BASE_URL",
    );
    expect(lacks({ REVEILLE_MODEL_SMALL: "@cf/x/y", REVEILLE_PRICES: '{"@cf/x/y":{"input":1,"output":1}}' })).toContain(
      "binding AI",
    );
  });
  it("take a bare host as /v1 and leave other paths alone", () => {
    const url = (text: string) => readSettings({ LLM_API_KEY: "k", REVEILLE_LLM_BASE_URL: text }).openai.url;
    expect(url("http://localhost:11434")).toBe("http://localhost:11434/v1");
    expect(url("https://example.com/v1beta/openai/")).toBe("https://example.com/v1beta/openai");
  });
});
