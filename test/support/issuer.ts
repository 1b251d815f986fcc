import { createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * An operator's identity provider: discovery document, key set, and RS256 tokens. `POST /_sign` signs what it is
 * given, with a published key, or with one that it never published; `POST /_rotate` changes the key; `GET /_asked`
 * counts reads of the key set.
 */

export interface Issuer {
  url: string;
  close(): Promise<void>;
}

interface Key {
  kid: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

interface SignAsk {
  claims: Record<string, unknown>;
  header?: Record<string, unknown>;
  /** `stranger`: signed by somebody else's key. */
  by?: "published" | "stranger";
}

const make = (kid: string): Key => ({ kid, ...generateKeyPairSync("rsa", { modulusLength: 2048 }) });
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

export async function startIssuer(): Promise<Issuer> {
  let n = 1;
  let key = make("k1");
  const stranger = make("k1");
  let asked = 0;
  let broken = false;
  let url = "";

  const json = (res: ServerResponse, status: number, body: unknown): void => {
    res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  };

  function sign({ claims, header, by }: SignAsk): string {
    const signed = `${part({ alg: "RS256", typ: "JWT", kid: key.kid, ...header })}.${part(claims)}`;
    const signer = by === "stranger" ? stranger : key;
    const signature = createSign("RSA-SHA256").update(signed).sign(signer.privateKey).toString("base64url");
    return `${signed}.${signature}`;
  }

  const server = createServer(async (req, res) => {
    const parts: Buffer[] = [];
    for await (const p of req) parts.push(p as Buffer);
    const body = parts.length > 0 ? (JSON.parse(Buffer.concat(parts).toString()) as unknown) : null;
    if (req.url === "/.well-known/openid-configuration")
      return json(res, 200, { issuer: url, jwks_uri: `${url}/jwks` });
    if (req.url === "/jwks") {
      asked++;
      if (broken) return json(res, 500, {});
      const jwk = key.publicKey.export({ format: "jwk" });
      return json(res, 200, {
        keys: [
          { ...jwk, kid: key.kid, use: "sig", alg: "RS256" },
          { kty: "EC", kid: "other" },
        ],
      });
    }
    if (req.url === "/_sign") return json(res, 200, { token: sign(body as SignAsk) });
    if (req.url === "/_rotate") {
      key = make(`k${++n}`);
      return json(res, 200, {});
    }
    if (req.url === "/_break") {
      broken = (body as { broken: boolean }).broken;
      return json(res, 200, {});
    }
    if (req.url === "/_asked") return json(res, 200, asked);
    return json(res, 404, {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
