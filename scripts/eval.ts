import { readArgs } from "./lib/args";
import { evalInvestigations } from "./lib/eval";
import { runMain } from "./lib/exit";

await runMain(async () => {
  const args = readArgs({
    command: "npm run eval --",
    what: "asks a real model the twelve recorded incidents and scores its answers by rules; costs a few cents",
    options: {
      model: { type: "string", value: "ID", what: "model to ask; default: the small one of the engine" },
      only: { type: "string", value: "NAME", what: "one recording alone" },
      json: { type: "boolean", what: "one object a line on stdout" },
    },
    notes: [
      "  REVEILLE_EVAL_KEY is the Anthropic key to spend from; without it nothing is asked and nothing is scored.",
      "  REVEILLE_EVAL_BASE_URL points it elsewhere.",
    ],
  });
  return evalInvestigations({ model: args.text("model"), only: args.text("only"), json: args.flag("json") });
});
