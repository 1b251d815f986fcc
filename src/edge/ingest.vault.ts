import { sessionObject } from "../../durable-objects/session.stub";
import { chatSessionName, type Destination } from "../gateway";
import type { PlatformName } from "../platform";
import type { SealAsk } from "../vault";
import type { IngestDeps } from "./ingest";

/** What the pipeline asks of a chat's vault; it can put credentials in and throw them away, and read none. */
export interface ChatVault {
  seal(ask: SealAsk): Promise<void>;
  purge(): Promise<void>;
}

/** The vault of a chat, in its Session object (design §3). */
export const chatVault = (deps: IngestDeps, to: Destination, platform: PlatformName, chat: string): ChatVault =>
  sessionObject(deps.env.SESSION, chatSessionName(to, platform, chat), deps.hint);
