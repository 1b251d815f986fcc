import { chatSessionName } from "../src/gateway";
import { sha256Hex } from "../src/kernel/crypto";
import { describe } from "../src/kernel/errors";
import { makeRedactor } from "../src/kernel/redact";
import type { Runtime } from "../src/kernel/runtime";
import {
  answerInteraction,
  applicationOf,
  editInteraction,
  endDeferred,
  Holds,
  type Interaction,
  interactionOver,
  interactionParts,
  type PlatformName,
  respondOver,
  respondParts,
  respondSlack,
  type SendDeps,
  type Sent,
} from "../src/platform";
import {
  type Claim,
  DISCORD,
  type Held,
  open,
  type SealAsk,
  SealError,
  seal,
  sealKeys,
  Vault,
  type VaultPlace,
  type VaultRow,
  type WieldAsk,
  type Wielded,
} from "../src/vault";

/** Wall ms for ending what nobody answered. */
const END_MS = 20_000;
const LATE = "There was no answer in time. Please ask again.";

export interface VaultHost {
  /** The object's own name, as far as a place tells: does this object hold that chat? */
  isOwn(name: string): boolean;
  storage: DurableObjectStorage;
  runtime(): Runtime;
  arm(): Promise<void>;
}

const RESPONSE_USES = 5;
/** Kinds by what calls with them. */
const KINDS = new Set([DISCORD, "slack.response_url"]);

/** The vault of a chat in its Session object: values are sealed here, opened here for one call, and leave it for nowhere else. */
export class ChatVault {
  readonly #rows: Vault;
  readonly #holds = new Holds();

  constructor(readonly host: VaultHost) {
    this.#rows = new Vault(host.storage.sql);
  }

  get #now(): number {
    return this.host.runtime().clock.wall();
  }

  get empty(): boolean {
    return this.#rows.empty;
  }

  dueAt(): number | null {
    return this.#rows.dueAt();
  }

  /** After storage was emptied. */
  forget(): void {
    this.#rows.forget();
  }

  /** The vault of another chat has another name: a caller that mixed them up must not succeed. */
  #homeOf(place: VaultPlace): string {
    const name = chatSessionName(place, place.platform as PlatformName, place.chat_id);
    if (!this.host.isOwn(name)) throw new Error("This vault is another chat's.");
    return name;
  }

  /** Seals a credential before its event is sent on. Durable when it returns. @throws ReveilleError 503 without a key. */
  async seal(ask: SealAsk): Promise<void> {
    const home = this.#homeOf(ask);
    const keys = await sealKeys(this.host.runtime().vars, "REVEILLE_VAULT_KEY");
    // The same event again finds its own row.
    const id = (await sha256Hex(JSON.stringify([ask.event, ask.kind]))).slice(0, 26);
    const sealed = await seal(keys, aad(home, ask.tenant, ask.kind, id), ask.value);
    this.host.storage.transactionSync(() => this.#rows.keep(id, home, ask, sealed, this.#now));
    await this.host.arm();
    await this.host.storage.sync();
  }

  /** One call with a credential named by what it is for. Never throws for what a caller may cause; the value is in no answer. */
  async wield(ask: WieldAsk): Promise<Wielded> {
    this.#homeOf(ask);
    const { by, content } = ask;
    // Words that are too long to be sent cost what there is: the platform's function refuses them by their length alone.
    const cost = ({ kind }: Held, ends: boolean): number => {
      if (kind !== DISCORD) return Math.min(RESPONSE_USES, Math.max(1, respondParts(content).length));
      return "message_id" in by ? 0 : Math.max(0, interactionParts(content).length - (ends ? 1 : 0));
    };
    const claim = this.host.storage.transactionSync(() => this.#rows.claim(by, cost, this.#now));
    if (!claim || !KINDS.has(claim.held.kind)) return { outcome: "miss", open: this.#rows.open(this.#now) };
    let value: string;
    try {
      value = await this.#open(claim.held);
    } catch (error) {
      this.#rows.giveBack(claim);
      this.host.runtime().log("error", "vault.unopened", { kind: claim.held.kind, error: describe(error) });
      return { outcome: "miss", open: 0 };
    }
    const sent = await this.#call(claim, value, ask);
    return this.#judge(claim, clean(sent, value), "reply_to" in by);
  }

  #judge(claim: Claim, sent: Sent, completes: boolean): Wielded {
    const { held } = claim;
    const over = held.kind === DISCORD ? interactionOver(sent) : respondOver(sent);
    this.host.storage.transactionSync(() => {
      if (notApplied(claim, sent, over)) this.#rows.giveBack(claim);
      else this.#rows.used(claim, sent.ids ?? [], over);
    });
    if (completes && over && !sent.ids?.length && held.meta["ephemeral"] !== "true")
      return { outcome: "fallback", result: sent };
    return { outcome: "done", result: sent };
  }

  async #call({ held, ends }: Claim, value: string, { by, content, metadata, deadline }: WieldAsk): Promise<Sent> {
    const d = this.#deps(held.app, deadline);
    if (held.kind !== DISCORD) return respondSlack(d, value, content, metadata);
    const interaction = interactionOf(d, held, value);
    return "message_id" in by
      ? editInteraction(d, interaction, by.message_id, content)
      : answerInteraction(d, interaction, content, ends);
  }

  #deps(app: string, deadline: number): SendDeps {
    const runtime = this.host.runtime();
    // A token of one interaction says nothing of the bot's own.
    return { runtime, app, deadline, holds: this.#holds, broken: () => {} };
  }

  async #open(held: Held): Promise<string> {
    if (held.sealed === null) throw new SealError("it is gone");
    const keys = await sealKeys(this.host.runtime().vars, "REVEILLE_VAULT_KEY");
    return open(keys, aad(held.home, held.tenant, held.kind, held.id), held.sealed);
  }

  /** The answer was posted to the chat with the bot token. */
  posted(): void {
    this.#rows.answered();
  }

  view(): VaultRow[] {
    return this.#rows.view(this.#now);
  }

  purge(): void {
    this.#rows.purge();
  }

  /** Ends deferred replies that show "thinking" to this day, then throws away what is over (hermes-relay §6.6). */
  async onAlarm(): Promise<void> {
    if (this.#rows.empty) return;
    const now = this.#now;
    for (const held of this.host.storage.transactionSync(() => this.#rows.overdue(now))) {
      const runtime = this.host.runtime();
      try {
        const value = await this.#open(held);
        const d = this.#deps(held.app, runtime.clock.wall() + END_MS);
        const words = held.deferred === "answered" ? null : LATE;
        const sent = clean(await endDeferred(d, interactionOf(d, held, value), words), value);
        if (!sent.success) runtime.log("warn", "vault.deferred_unended", { kind: held.kind, error: sent.error });
      } catch (error) {
        runtime.log("warn", "vault.deferred_unended", { kind: held.kind, error: describe(error) });
      }
    }
    this.host.storage.transactionSync(() => this.#rows.expire(now));
  }
}

/** Words that were never sent. */
const UNSENT = new Set(["no_text", "msg_too_long", "refused"]);

/** Only what is certainly not done gives its use back. A deferred reply whose change failed is open still: a change may be repeated. */
function notApplied({ held, ends }: Claim, sent: Sent, over: boolean): boolean {
  if (sent.success || over || sent.ids?.length) return false;
  if (held.kind === DISCORD) return ends || !sent.ambiguous;
  return !sent.ambiguous && (sent.retryable === true || UNSENT.has(sent.error_code ?? ""));
}

const aad = (home: string, tenant: string, kind: string, id: string): string =>
  JSON.stringify(["vault", home, tenant, kind, id]);

const interactionOf = (d: SendDeps, { meta }: Held, token: string): Interaction => ({
  application_id: meta["application_id"] || applicationOf(d),
  interaction_id: meta["interaction_id"] ?? "",
  token,
  ephemeral: meta["ephemeral"] === "true",
});

/** Whatever a platform says, it does not quote the credential to a gateway. */
function clean(sent: Sent, value: string): Sent {
  const parts = URL.canParse(value) ? new URL(value).pathname.split("/").filter((p) => p.length >= 12) : [];
  const redact = makeRedactor([value, ...parts], true);
  return redact.json(sent);
}
