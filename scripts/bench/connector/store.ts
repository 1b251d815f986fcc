import Database from "libsql";

/** SQLite of a plain server: WAL, synchronous FULL, so that an answer means that the disk has it. */
export function openStore(file: string) {
  const db = new Database(file);
  db.exec("PRAGMA journal_mode = WAL");
  db.exec("PRAGMA synchronous = FULL");
  db.exec(
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, d1 TEXT NOT NULL UNIQUE, box TEXT NOT NULL, state INTEGER NOT NULL, frame TEXT NOT NULL)",
  );
  const insert = db.prepare("INSERT OR IGNORE INTO event (d1, box, state, frame) VALUES (?, ?, 0, ?)");
  const next = db.prepare("SELECT seq, frame FROM event WHERE box = ? AND state = 0 AND seq > ? ORDER BY seq LIMIT 1");
  const done = db.prepare("UPDATE event SET state = 1 WHERE seq = ?");
  return {
    insert: (d1: string, box: string, frame: string): void => void insert.run(d1, box, frame),
    next: (box: string, after: number) => next.get(box, after) as { seq: number; frame: string } | undefined,
    done: (seq: number): void => void done.run(seq),
    /** One commit for many, to fill a box. */
    together: (work: () => void): void => db.transaction(work)(),
  };
}
