import { all } from "../../kernel/d1";
import { INTENTS, type Intent, type Phrase } from "./intents";

/** What the phrasebook loop calls the matters that have another name here. */
const CATEGORY: Record<string, Intent> = { acked: "who_acked", incident: "why", changes: "changed", down: "overall" };

/** Most approved phrases that are looked at. */
const MOST = 200;

/** The approved phrases (`vocabulary`, kind `phrase`). A row of another shape is passed over: it can only fail to match. */
export async function readPhrases(db: D1Database): Promise<Phrase[]> {
  const rows = await all<{ id: string; body: string }>(
    db.prepare("SELECT id, body FROM vocabulary WHERE kind = 'phrase' ORDER BY created_at DESC LIMIT ?").bind(MOST),
  );
  return rows.flatMap((r) => {
    const body = parse(r.body);
    const tokens = Array.isArray(body["tokens"])
      ? body["tokens"].filter((t): t is string => typeof t === "string" && t !== "")
      : [];
    const category = String(body["category"] ?? "");
    const intent = INTENTS.find((i) => i === category) ?? CATEGORY[category] ?? null;
    const template = typeof body["template"] === "string" ? body["template"].slice(0, 900) : "";
    return tokens.length > 0 && (intent !== null || template !== "") ? [{ id: r.id, tokens, intent, template }] : [];
  });
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === "object" ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
