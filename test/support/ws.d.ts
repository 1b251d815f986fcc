/** The part of the `ws` package that stand-ins and tests use. */
declare module "ws" {
  import { EventEmitter } from "node:events";

  interface ClientOptions {
    headers?: Record<string, string>;
    perMessageDeflate?: boolean;
    maxPayload?: number;
  }

  export default class WebSocket extends EventEmitter {
    static readonly OPEN: number;
    readonly readyState: number;
    constructor(url: string, options?: ClientOptions);
    send(data: string | Uint8Array): void;
    close(code?: number, reason?: string): void;
    /** Cuts the connection without a close frame. */
    terminate(): void;
    ping(): void;
    addEventListener(type: string, listener: (event: never) => void): void;
    on(event: "open", listener: () => void): this;
    on(event: "message", listener: (data: Buffer, isBinary: boolean) => void): this;
    on(event: "close", listener: (code: number, reason: Buffer) => void): this;
    on(event: "error", listener: (error: Error) => void): this;
    on(event: "unexpected-response", listener: (request: unknown, response: { statusCode: number }) => void): this;
  }

  export class WebSocketServer extends EventEmitter {
    constructor(options: { server: import("node:http").Server; perMessageDeflate?: boolean });
    on(event: "connection", listener: (ws: WebSocket, request: import("node:http").IncomingMessage) => void): this;
  }
}
