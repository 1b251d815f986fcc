import { createServer } from "node:net";
import { EXIT, Exit } from "./exit";
import { whoListens } from "./processes";

const HOST = "127.0.0.1";

/** The port that was bound for a moment (0 picks one), or null when it is taken. */
export function tryPort(port: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(null);
      else if (error.code === "EACCES")
        reject(
          new Exit(EXIT.environment, `Port ${port} needs special rights here.  Use another:  PORT=8787 npm start`),
        );
      else reject(error);
    });
    server.listen({ host: HOST, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : port));
    });
  });
}

/** Reads `PORT`. @throws Exit 3 when it is no port. */
export function readPort(raw: string): number {
  if (/^\d{1,5}$/.test(raw) && Number(raw) <= 65_535) return Number(raw);
  throw new Exit(EXIT.environment, `PORT is "${raw}"; it must be a number from 0 to 65535 (0 picks a free one).`);
}

/** Makes sure the port is free and returns it. @throws Exit 3 naming who has it and a port that is free. */
export async function requirePort(port: number): Promise<number> {
  const bound = await tryPort(port);
  if (bound !== null) return bound;
  const who = whoListens(port);
  let other = port;
  do other = other >= 65_535 ? 1024 : other + 1;
  while ((await tryPort(other)) === null);
  const taken = who ? `Port ${port} is taken by pid ${who.pid} (${who.name}).` : `Port ${port} is taken.`;
  throw new Exit(EXIT.environment, `${taken}  Use another:  PORT=${other} npm start`);
}
