import type { Json } from "./types";

/** What a probe kept from earlier looks at target `num`, or null. Text that can't be read counts as nothing. */
export async function readMemory(db: D1Database, num: number): Promise<Json | null> {
  const row = await db.prepare("SELECT data FROM probe_memory WHERE num = ?").bind(num).first<{ data: string }>();
  if (!row) return null;
  try {
    return JSON.parse(row.data) as Json;
  } catch {
    return null;
  }
}

/** Keeps `data` for later looks. `at` is Reveille time, ms. */
export async function writeMemory(db: D1Database, num: number, data: Json, at: number): Promise<void> {
  await db
    .prepare(
      `INSERT INTO probe_memory (num, data, updated_at) VALUES (?, ?, ?)
       ON CONFLICT (num) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at`,
    )
    .bind(num, JSON.stringify(data), at)
    .run();
}
