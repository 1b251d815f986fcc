import { spawn } from "node:child_process";
import { join } from "node:path";
import { ROOT } from "./paths";

export interface WranglerResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a wrangler sub-command from the root. Its output is captured; with `show` it is streamed to stderr as well. */
export function wrangler(args: string[], show = false): Promise<WranglerResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(ROOT, "node_modules/wrangler/bin/wrangler.js"), ...args], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      // CI=1: never ask; the rest keeps it from calling home.
      env: {
        ...process.env,
        CI: "1",
        WRANGLER_SEND_METRICS: "false",
        WRANGLER_HIDE_BANNER: "true",
        WRANGLER_SEND_ERROR_REPORTS: "false",
      },
    });
    const result = { code: 1, stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      result.stdout += text;
      if (show) process.stderr.write(text);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      result.stderr += text;
      if (show) process.stderr.write(text);
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ ...result, code: code ?? 1 }));
  });
}
