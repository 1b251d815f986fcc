/** Imports nothing, so that it can speak on a Node that the other modules do not run on. */
const MINIMUM = [20, 19];

/** One line with the fix when this Node is too old, else null. */
export function nodeProblem(version: string): string | null {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > MINIMUM[0]! || (major === MINIMUM[0] && minor >= MINIMUM[1]!)) return null;
  return `Node ${version} is too old: Reveille needs Node ${MINIMUM.join(".")} or newer.  Get it:  https://nodejs.org/  or  nvm install 22`;
}

/** Ends the process with code 3 when Node is too old. */
export function requireNode(): void {
  const problem = nodeProblem(process.versions.node);
  if (problem === null) return;
  process.stderr.write(`${problem}\n`);
  process.exit(3);
}
