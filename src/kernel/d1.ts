/** One-line helpers over D1 that keep SQL in the stores and count what each statement wrote. */

export interface Written {
  rows: number;
}

/** Runs statements as one transaction and adds up D1's own count of rows written (index entries included). */
export async function commit(
  db: D1Database,
  statements: D1PreparedStatement[],
): Promise<{ results: D1Result[]; rows: number }> {
  if (statements.length === 0) return { results: [], rows: 0 };
  const results = await db.batch(statements);
  return { results, rows: results.reduce((n, r) => n + (r.meta.rows_written ?? 0), 0) };
}

export async function all<T>(statement: D1PreparedStatement): Promise<T[]> {
  return (await statement.all<T>()).results;
}

/** `?, ?, ?` for an IN list of `n` values (D1 allows 100 parameters a statement). */
export const marks = (n: number): string => Array(n).fill("?").join(", ");
