import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
const ELSEWHERE = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** What to do where there is none. */
export const NO_CHROMIUM = "no Chromium found: apt-get install chromium, or CHROME_PATH=/path/to/it";

/** The browser of this machine for the browser tests: `CHROME_PATH`, else the first one on PATH. Null: there is none. */
export function findChromium(env: NodeJS.ProcessEnv = process.env): string | null {
  if (env["CHROME_PATH"]) return env["CHROME_PATH"];
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...candidates, ...ELSEWHERE].find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
