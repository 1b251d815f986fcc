import * as z from "zod";
import { iso } from "../kernel/clock";
import { sha256Hex } from "../kernel/crypto";
import { all } from "../kernel/d1";
import { describe } from "../kernel/errors";
import type { Log } from "../kernel/log";
import { BUNDLED } from "./identity.text";

/** Persona and system prompt in force for a workspace (`kora-watch.md` §10). */
export interface Identity {
  agent_name: string;
  soul: string;
  system: string;
  /** SHA-256 over name, soul and system prompt: what an investigation was made with. */
  hash: string;
  version: number;
  source: "workspace" | "bundled";
}

export const WORKSPACE = "default";
const MAX_TEXT = 16_000;

/** A new version of a workspace's identity; both texts are needed, because half a persona is none. */
export const identityInput = z.strictObject({
  agent_name: z.string().trim().min(1).max(60),
  soul: z.string().trim().min(1).max(MAX_TEXT),
  system: z.string().trim().min(1).max(MAX_TEXT),
});
export type IdentityInput = z.infer<typeof identityInput>;

type Text = Omit<Identity, "hash">;
/** One place an identity may come from; null = it has none for this workspace. */
type Provider = (db: D1Database, workspace: string) => Promise<Text | null>;

const fromStore: Provider = async (db, workspace) => {
  const row = await db
    .prepare("SELECT version, soul, system, agent_name FROM identity WHERE workspace = ? ORDER BY version DESC LIMIT 1")
    .bind(workspace)
    .first<{ version: number; soul: string; system: string; agent_name: string }>();
  return row ? { ...row, source: "workspace" } : null;
};

/** In the order they are asked; the bundled text stands behind them all. */
const PROVIDERS: readonly Provider[] = [fromStore];

export const identityHash = (text: IdentityInput): Promise<string> =>
  sha256Hex(JSON.stringify([text.agent_name, text.soul, text.system]));

/**
 * The identity of a workspace: the first provider that answers wins. An answer that lacks one of the two texts is no answer,
 * and neither is a store that fails: reasoning then speaks with the bundled text, and the hash says so.
 */
export async function identityFor(db: D1Database, workspace: string = WORKSPACE, log?: Log): Promise<Identity> {
  for (const provider of PROVIDERS) {
    const text = await provider(db, workspace).catch((error) => {
      log?.("warn", "identity.unreadable", { workspace, error: describe(error) });
      return null;
    });
    if (text && text.soul.trim() !== "" && text.system.trim() !== "")
      return { ...text, hash: await identityHash(text) };
  }
  return { ...BUNDLED, source: "bundled", hash: await identityHash(BUNDLED) };
}

/** Writes the next version and returns its number. Versions are kept; two writers get two numbers. */
export const saveIdentity = (
  db: D1Database,
  input: IdentityInput,
  now: number,
  workspace: string = WORKSPACE,
): Promise<number> => insert(db, workspace, input, now);

/** Goes back to the bundled text: a version without texts, so that the versions before it are kept. */
export const resetIdentity = (db: D1Database, now: number, workspace: string = WORKSPACE): Promise<number> =>
  insert(db, workspace, { agent_name: "", soul: "", system: "" }, now);

async function insert(db: D1Database, workspace: string, text: IdentityInput, now: number): Promise<number> {
  const row = await db
    .prepare(
      `INSERT INTO identity (workspace, version, soul, system, agent_name, created_at)
       SELECT ?1, COALESCE(MAX(version), 0) + 1, ?2, ?3, ?4, ?5 FROM identity WHERE workspace = ?1 RETURNING version`,
    )
    .bind(workspace, text.soul, text.system, text.agent_name, now)
    .first<{ version: number }>();
  return row!.version;
}

/** The versions of a workspace, newest first, without their texts. */
export async function identityVersions(
  db: D1Database,
  workspace: string = WORKSPACE,
): Promise<{ version: number; agent_name: string; created_at: string }[]> {
  const rows = await all<{ version: number; agent_name: string; created_at: number }>(
    db
      .prepare(
        "SELECT version, agent_name, created_at FROM identity WHERE workspace = ? ORDER BY version DESC LIMIT 50",
      )
      .bind(workspace),
  );
  return rows.map((r) => ({ ...r, created_at: iso(r.created_at) }));
}
