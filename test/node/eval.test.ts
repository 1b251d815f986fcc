import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answered, evalInvestigations, readRecordings, scoreOf } from "../../scripts/lib/eval";
import { type Llm, startLlm } from "../support/llm";

/** The rules that judge a model's answers, and the script that asks for them, against the provider's stand-in. */

const answer = (summary: string, more: Partial<Answered> = {}): Answered => ({
  result: { summary, evidence: ["E1"], confidence: 0.8, likely_cause: "likely the release", next_step: "look" },
  error: null,
  evidence: [{ id: "E1", text: 'look: unhealthy, error: "HTTP 503"; machine 148e21' }],
  dropped: 0,
  guess: false,
  model: "m",
  usd: 0.001,
  ms: 5,
  ...more,
});
const rules = { cause: ["503", "release"], forbid: ["database"] };

describe("scores", () => {
  it.each<[string, Answered, string[]]>([
    ["a good answer keeps all", answer("It answers 503 on 148e21 [E1]."), []],
    [
      "no answer keeps none",
      answer("", { result: null, error: "truncated" }),
      ["answered", "evidence", "cause", "honest"],
    ],
    ["invented evidence", answer("It answers 503 [E1].", { dropped: 1 }), ["evidence"]],
    ["a guess", answer("It answers 503.", { guess: true }), ["evidence"]],
    ["no cause", answer("It is down [E1]."), ["cause"]],
    ["a forbidden claim", answer("503: the database [E1]."), ["honest"]],
    ["an id from nowhere", answer("503 on machine 9f00aa [E1]."), ["honest"]],
  ])("%s", (_name, a, missed) => {
    const lost = Object.entries(scoreOf(rules, a)).flatMap(([rule, kept]) => (kept ? [] : [rule]));
    expect(lost).toEqual(missed);
  });
});

describe("npm run eval", () => {
  let llm: Llm;
  beforeAll(async () => {
    llm = await startLlm();
  });
  afterAll(() => llm.close());

  it("asks nothing and scores nothing without a key", async () => {
    await expect(evalInvestigations({ env: {} })).rejects.toThrow("REVEILLE_EVAL_KEY is not set");
    expect(llm.ledger().calls).toEqual([]);
  });

  it("asks each incident once with the key, and judges what comes back", async () => {
    const recordings = readRecordings();
    llm.control({
      queue: recordings.map((r) => ({ mode: "investigation", text: r.reply })),
    });
    const lines: string[] = [];
    const code = await evalInvestigations({
      env: { REVEILLE_EVAL_KEY: "sk-test-eval-key-000001", REVEILLE_EVAL_BASE_URL: `${llm.url}/v1` },
      json: true,
      write: (line) => lines.push(line),
    });
    expect(llm.ledger().calls).toHaveLength(12);
    const scores = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(scores.filter((s) => s["answered"]).length).toBe(11);
    expect(scores.find((s) => s["name"] === "fly-out-of-memory")).toMatchObject({
      answered: true,
      evidence: true,
      cause: true,
      honest: true,
    });
    expect(scores.find((s) => s["name"] === "invented-evidence")).toMatchObject({ evidence: false, honest: false });
    expect(code).toBe(1);
    expect(lines.join("")).not.toContain("sk-test");
  });
});
