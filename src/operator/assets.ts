import { hash32 } from "../kernel/ids";
import { CLIENT_JS } from "./client";
import { CSS } from "./styles";

/** A file the pages load: its name carries its content, so a browser may keep it for good. */
export interface Asset {
  path: string;
  type: string;
  body: string;
}

const named = (ext: "css" | "js" | "svg", type: string, body: string): Asset => ({
  path: `/assets/app-${hash32(body).toString(36)}${body.length.toString(36)}.${ext}`,
  type,
  body,
});

export const STYLE: Asset = named("css", "text/css; charset=utf-8", CSS);
export const SCRIPT: Asset = named("js", "text/javascript; charset=utf-8", CLIENT_JS);
/** A sunrise over a line: the mark in the browser's tab. */
export const ICON: Asset = named(
  "svg",
  "image/svg+xml",
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#1d5fc4" d="M2 11a6 6 0 0 1 12 0z"/><path fill="#7f8796" d="M1 13h14v1.5H1z"/></svg>',
);
export const ASSETS: ReadonlyMap<string, Asset> = new Map([STYLE, SCRIPT, ICON].map((a) => [a.path, a]));
