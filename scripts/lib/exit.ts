/** Exit codes of every command (operator-experience §4). */
export const EXIT = { ok: 0, missed: 1, usage: 2, environment: 3, interrupted: 130 } as const;

/** Ends a command with a code and the lines a person needs; no stack. */
export class Exit extends Error {
  constructor(
    readonly code: number,
    ...lines: string[]
  ) {
    super(lines.join("\n"));
    this.name = "Exit";
  }
}

/**
 * Runs a command's body: its result is the exit code. An interrupt ends with 130, an unexpected error with 1 and its stack;
 * a command that stops cleanly on an interrupt handles the signal itself and passes `ownSignals`.
 */
export async function runMain(main: () => Promise<number>, ownSignals = false): Promise<never> {
  if (!ownSignals) process.once("SIGINT", () => process.exit(EXIT.interrupted));
  try {
    process.exit(await main());
  } catch (error) {
    if (error instanceof Exit) {
      if (error.message) (error.code === EXIT.ok ? process.stdout : process.stderr).write(`${error.message}\n`);
      process.exit(error.code);
    }
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(EXIT.missed);
  }
}
