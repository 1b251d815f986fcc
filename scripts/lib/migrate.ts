import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { D1Database } from "@cloudflare/workers-types/2023-07-01";
import { MIGRATIONS_DIR, ROOT } from "./paths";

/** The table `wrangler d1 migrations` keeps, written the same way, so that both agree on what is applied. */
const TABLE = `CREATE TABLE IF NOT EXISTS d1_migrations(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT UNIQUE,
  applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)`;

/**
 * Applies the migrations that are not yet applied, each in one transaction, in the order of their numbers.
 * @returns the names applied now. @throws D1's error, prefixed with the file's name.
 */
export async function applyMigrations(db: D1Database, dir = join(ROOT, MIGRATIONS_DIR)): Promise<string[]> {
  const { unstable_splitSqlQuery } = await import("wrangler");
  await db.prepare(TABLE).run();
  const { results } = await db.prepare("SELECT name FROM d1_migrations").all<{ name: string }>();
  const done = new Set(results.map((row) => row.name));
  const files = readdirSync(dir)
    .filter((name) => name.endsWith(".sql") && !done.has(name))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1));
  for (const name of files) {
    const statements = unstable_splitSqlQuery(readFileSync(join(dir, name), "utf8")).map((sql) => db.prepare(sql));
    try {
      await db.batch([...statements, db.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name)]);
    } catch (error) {
      throw new Error(
        `Migration ${name} failed and was rolled back: ${error instanceof Error ? error.message : error}`,
      );
    }
  }
  return files;
}
