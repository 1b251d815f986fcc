import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Misbehaviour, Transfer } from "./payments.types";
import { PAYMENT_SECRET } from "./test-vars";

/**
 * An operator's payment verifier as docs/trust.md describes it: `POST /verify` says whether a transfer arrived, from its own
 * book. `POST /_control` writes the book and chooses ways to misbehave; `GET /_ledger` tells what was asked.
 */

export interface Payments {
  url: string;
  close(): Promise<void>;
}

interface Asked {
  client_id: string;
  agent: string;
  min_amount: number;
  claim: unknown;
  signed: boolean;
}

export async function startPayments(): Promise<Payments> {
  let book: Transfer[] = [];
  let mode: Misbehaviour = "none";
  let asked: Asked[] = [];

  const server = createServer((req, res) => {
    handle(req, res).catch(() => {
      if (!res.headersSent) res.writeHead(500).end();
    });
  });

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const raw = await read(req);
    if (req.url === "/_control") {
      const change = JSON.parse(raw) as { transfers?: Transfer[]; mode?: Misbehaviour };
      if (change.transfers) book = change.transfers;
      mode = change.mode ?? "none";
      asked = [];
      return json(res, 200, { ok: true });
    }
    if (req.url === "/_ledger") return json(res, 200, asked);
    if (req.url !== "/verify" || req.method !== "POST") return json(res, 404, {});
    const body = JSON.parse(raw) as {
      client_id: string;
      agent: string;
      min_amount: number;
      max_age_s: number;
      claim: unknown;
    };
    const signed = proves(req, raw);
    asked.push({
      client_id: body.client_id,
      agent: body.agent,
      min_amount: body.min_amount,
      claim: body.claim,
      signed,
    });
    if (!signed) return json(res, 401, { error: "bad signature" });
    const paid = book.find((t) => t.client_id === body.client_id && t.amount >= body.min_amount);
    const honest = paid
      ? { verified: true, ...paid, paid_at: new Date(paid.paid_at).toISOString() }
      : { verified: false, client_id: body.client_id, amount: 0, reference: "none", paid_at: new Date().toISOString() };
    const yes = {
      verified: true,
      client_id: body.client_id,
      amount: body.min_amount,
      reference: `lie-${Math.random()}`,
      paid_at: new Date().toISOString(),
    };
    switch (mode) {
      case "none":
        return json(res, 200, honest);
      case "somebody_else":
        return json(res, 200, { ...yes, client_id: `0x${"77".repeat(32)}` });
      case "too_little":
        return json(res, 200, { ...yes, amount: body.min_amount - 0.01 });
      case "stale":
        return json(res, 200, { ...yes, paid_at: new Date(Date.now() - 6 * 60_000).toISOString() });
      case "future":
        return json(res, 200, { ...yes, paid_at: new Date(Date.now() + 10 * 60_000).toISOString() });
      case "500":
        return json(res, 500, yes);
      case "html":
        return void res.writeHead(200, { "content-type": "text/html" }).end("<h1>paid</h1>");
      case "redirect":
        return void res.writeHead(307, { location: "/verify" }).end();
      case "huge":
        return json(res, 200, { ...yes, note: "x".repeat(20_000) });
      case "hang":
        return;
    }
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function proves(req: IncomingMessage, raw: string): boolean {
  const stamp = String(req.headers["reveille-timestamp"] ?? "");
  const given = Buffer.from(String(req.headers["reveille-signature"] ?? "").replace(/^v1=/, ""), "hex");
  const real = createHmac("sha256", PAYMENT_SECRET).update(`${stamp}.${raw}`).digest();
  return (
    Math.abs(Date.now() / 1000 - Number(stamp)) < 300 && given.length === real.length && timingSafeEqual(given, real)
  );
}

async function read(req: IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of req) text += String(part);
  return text;
}

const json = (res: ServerResponse, status: number, body: unknown): void =>
  void res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
