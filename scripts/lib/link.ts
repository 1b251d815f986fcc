import { join } from "node:path";
import { readVar } from "../../src/kernel/config";
import { ApiError, loginLink, operatorApi } from "./api";
import { readArgs } from "./args";
import { EXIT, Exit } from "./exit";
import { ROOT } from "./paths";
import { readPort } from "./port";
import { makeTerm } from "./term";
import { localVars, readVarsFile } from "./vars";

/** `npm run link`: prints a fresh login link of the edge that runs here (or at `--url`). */
export async function main(): Promise<number> {
  const args = readArgs({
    command: "npm run link --",
    what: "Prints a login link: it works once, for 10 minutes.",
    options: {
      url: {
        type: "string",
        value: "URL",
        what: "a deployed edge instead of the local one (token from REVEILLE_OPERATOR_TOKEN)",
      },
      json: { type: "boolean", what: "as one JSON object" },
    },
  });
  const vars = localVars(readVarsFile(join(ROOT, ".dev.vars")), process.env);
  const port = readPort(readVar(vars, "PORT"));
  const remote = args.text("url")?.replace(/\/+$/, "");
  const base = remote ?? `http://127.0.0.1:${port}`;
  const shown = remote ?? (vars["REVEILLE_PUBLIC_URL"]?.trim() || `http://localhost:${port}`);
  const token = readVar(vars, "REVEILLE_OPERATOR_TOKEN");
  if (!token)
    throw new Exit(
      EXIT.environment,
      "No OPERATOR_TOKEN in .dev.vars and no REVEILLE_OPERATOR_TOKEN set.  Make one:  npm start",
    );
  try {
    const url = await loginLink(operatorApi(base, token), shown);
    const term = makeTerm();
    if (args.flag("json")) term.json({ url, expires_in_s: 600 });
    else term.out(`${url}   (once, 10 min)`);
    return EXIT.ok;
  } catch (error) {
    if (error instanceof ApiError) throw new Exit(EXIT.missed, `${base} refused: ${error.message}`);
    throw new Exit(EXIT.environment, `Nothing answers at ${base}.  Start it:  npm start`);
  }
}
