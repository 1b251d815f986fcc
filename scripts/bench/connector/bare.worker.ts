import { DurableObject } from "cloudflare:workers";

/**
 * What the ingest is measured against: a Worker that hands each request's text to one object, which inserts it and answers when
 * it is durable. Nothing else: no signature, no JSON, no gate, no dedupe, and every event is a commit of its own.
 */

interface Env {
  STORE: DurableObjectNamespace;
}

type StoreMethods = { insert(text: string): Promise<void> };

export class Store extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec(
      "CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, text TEXT NOT NULL)",
    );
  }

  async insert(text: string): Promise<void> {
    this.ctx.storage.sql.exec("INSERT INTO event (at, text) VALUES (?, ?)", Date.now(), text);
    await this.ctx.storage.sync();
  }
}

export default {
  async fetch(request, env) {
    const store = env.STORE.get(env.STORE.idFromName("store")) as unknown as StoreMethods;
    await store.insert(await request.text());
    return new Response(null);
  },
} satisfies ExportedHandler<Env>;
