import WebSocket from "ws";
import { type Dial, DialRefused, type GatewayOptions, ScriptedGateway } from "./gateway-core";

export { type Handled, type Json, ScriptedGateway, upgradeToken } from "./gateway-core";

/** The scripted gateway on Node, over `ws`, as it dials `GET /relay` of a running edge. */

/** `url`: http(s) or ws(s) base, as a gateway is configured with it. */
export const dialer =
  (url: string): Dial =>
  (authorization, on) =>
    new Promise((resolve, reject) => {
      const target = `${url.replace(/^http/, "ws").replace(/\/+$/, "")}/relay`;
      const ws = new WebSocket(target, {
        perMessageDeflate: false,
        maxPayload: 1024 * 1024,
        ...(authorization === null ? {} : { headers: { authorization } }),
      });
      let open = false;
      ws.on("open", () => {
        open = true;
        resolve({
          send: (data) => ws.send(data),
          close: (code, reason) => ws.close(code, reason),
          cut: () => ws.terminate(),
        });
      });
      ws.on("message", (data, isBinary) => on.message(isBinary ? data : data.toString()));
      ws.on("close", (code, reason) => {
        if (open) on.close(code, reason.toString());
      });
      ws.on("unexpected-response", (_request, response) => {
        reject(new DialRefused(response.statusCode));
        ws.terminate();
      });
      ws.on("error", (error) => {
        if (!open) reject(/ECONNREFUSED|ECONNRESET|socket hang up/.test(String(error)) ? new DialRefused(0) : error);
      });
    });

/** A gateway that is not connected yet. */
export const scriptedGateway = (url: string, options: GatewayOptions): ScriptedGateway =>
  new ScriptedGateway(options, dialer(url));
