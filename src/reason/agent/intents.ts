/** What a question is about, found by words alone: no model, no state but the names of targets. Pure. */

export const INTENTS = [
  "help",
  "act",
  "secrets",
  "who_acked",
  "maintenance",
  "budget",
  "changed",
  "listeners",
  "why",
  "status",
  "overall",
] as const;
export type Intent = (typeof INTENTS)[number];

export interface Named {
  id: string;
  name: string;
}

/**
 * An approved phrase (`vocabulary`, kind `phrase`): every token must occur in the question. It maps words to an intent, or,
 * where no intent fits, to a reply that an operator approved.
 */
export interface Phrase {
  id: string;
  tokens: string[];
  intent: Intent | null;
  template: string;
}

export interface Reading {
  intent: Intent | null;
  target: Named | null;
  incident: string | null;
  /** The phrase that matched when the built-in patterns did not. */
  phrase: Phrase | null;
  /** Rules alone can answer it whole: short, one matter, no "why" or comparison. */
  routine: boolean;
}

/** Lower case, compatibility forms folded, punctuation to spaces; `-`, `_`, `.` and `/` stay, since names hold them. */
export function normalise(text: string): string {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/['’`]/g, "")
    .replace(/[^\p{L}\p{N}\-_./]+/gu, " ")
    .replace(/(^|\s)[-_./]+|[-_./]+(?=\s|$)/gu, "$1")
    .replace(/\s+/g, " ")
    .trim();
}

/** Does `key` stand in `text` as a whole: between blanks, slashes or the ends? */
function stands(text: string, key: string): boolean {
  const edge = (c: string | undefined): boolean => c === undefined || c === " " || c === "/";
  for (let at = text.indexOf(key); at >= 0; at = text.indexOf(key, at + 1))
    if (edge(text[at - 1]) && edge(text[at + key.length])) return true;
  return false;
}

/** The target a question names: whole words only, the longest name first. */
export function findTarget(question: string, targets: readonly Named[]): Named | null {
  let best: { named: Named; length: number } | null = null;
  for (const named of targets)
    for (const key of [normalise(named.id), normalise(named.name)]) {
      if (key.length < 2 || key.length <= (best?.length ?? 0)) continue;
      if (stands(question, key)) best = { named, length: key.length };
    }
  return best?.named ?? null;
}

const ULID = /\b[0-7][0-9a-hjkmnp-tv-z]{25}\b/;

/** A verb that would change something, at the head of the question or after "please", "can you", "to". */
const ACT =
  /(?:^|\b(?:please|pls|kindly|you|now|and|then|to)\s)(?:just\s|go\s(?:and\s)?)?(?:ack|acknowledge|unack|snooze|mute|unmute|restart|reboot|redeploy|deploy|roll\s?back|rollback|start|stop|kill|pause|resume|delete|remove|disable|enable|approve|deny|fix|scale|destroy|create|add|set|change|run)\b/;

/** Tried in this order; the first that matches is the intent. */
const PATTERNS: [Intent, RegExp][] = [
  [
    "secrets",
    /\b(?:tokens?|passwords?|secrets?|credentials?|api[ -]?keys?|private keys?|signing keys?|env(?:ironment)? variables?|system prompt|\.?dev\.vars)\b/,
  ],
  ["who_acked", /\bwho\b.*\b(?:ack\w*|took|has it|owns|handling|working on|snoozed)\b|\b(?:is|was) .*\backed\b/],
  ["act", ACT],
  ["maintenance", /\b(?:maintenance|planned (?:work|downtime|silence)|windows?)\b/],
  [
    "budget",
    /\b(?:budget|cost|costs|spend|spent|spending|money|dollars?|usd|pool|how much (?:have|did|does|is|was|left))\b/,
  ],
  [
    "why",
    /\b(?:why|cause|caused|reason|root cause|what (?:happened|broke|went wrong)|explain|incidents? (?:of|for|on))\b/,
  ],
  [
    "changed",
    /\b(?:what(?:s| has| is)? (?:changed|new)|changes?|changed|happened today|today|since (?:midnight|this morning)|news|summary|recap)\b/,
  ],
  ["listeners", /\b(?:listeners?|periodic tasks?|are you (?:alive|awake|ok|well|there)|your (?:health|tasks?)|jobs)\b/],
  [
    "overall",
    /\b(?:any(?:thing|one)?|all|every(?:thing)?|something|overall|whats|what is|which|how many)\b.*\b(?:down|broken|wrong|failing|fails|red|degraded|unhealthy|open|ok|up|fine|good|green|healthy|well|incidents?|outages?|problems?|issues?|alerts?|happening|going on)\b/,
  ],
  ["overall", /^(?:status|state|overview|prod|production|incidents?|open incidents?|outages?|alerts?)$/],
  [
    "overall",
    /^(?:is|are) (?:prod|production|it|we|things|the (?:site|system|services?)|services?) (?:up|down|ok|fine|good|healthy)\b/,
  ],
  ["help", /^(?:help|hi|hello|hey|commands?|usage|what can (?:i|you)\b.*|how do (?:i|you)\b.*|who are you.*)$/],
];

const STATUS = /\b(?:status|state|how|is|are|up|down|ok|healthy|latency|look|looks|see|doing|health|check|since)\b/;

/** Words that rules can't weigh: with one of them a model, when there is one, is worth asking. */
const HARD =
  /\b(?:why|because|correlat\w*|compare|comparison|trend|likely|should|could|would|predict|related|same cause|difference|better|worse|explain|suggest|recommend|next step|how (?:can|do|should))\b/;

const ROUTINE_WORDS = 14;

const ROUTINE: readonly Intent[] = [
  "help",
  "act",
  "secrets",
  "who_acked",
  "maintenance",
  "budget",
  "changed",
  "listeners",
  "status",
  "overall",
];

/** Reads a question. The operator's `/opus` prefix must be gone. */
export function read(question: string, targets: readonly Named[], phrases: readonly Phrase[] = []): Reading {
  const text = normalise(question);
  const target = findTarget(text, targets);
  const incident = ULID.exec(text)?.[0].toUpperCase() ?? null;
  // A name may hold any word ("budget-api"): it must not decide what is asked.
  const bare = target
    ? text.replaceAll(normalise(target.id), " x ").replaceAll(normalise(target.name), " x ").replace(/\s+/g, " ").trim()
    : text;
  let intent = PATTERNS.find(([, pattern]) => pattern.test(bare))?.[0] ?? null;
  let phrase: Phrase | null = null;
  if (intent === null && incident) intent = "why";
  if (target && (intent === null || intent === "overall"))
    intent = STATUS.test(bare) || bare === "x" ? "status" : intent;
  if (intent === null) {
    const words = new Set(text.split(" "));
    const match = phrases.find((p) => p.tokens.length > 0 && p.tokens.every((t) => words.has(t)));
    if (match) {
      intent = match.intent;
      phrase = match;
    }
  }
  const short = text.split(" ").length <= ROUTINE_WORDS;
  const known = (intent !== null && ROUTINE.includes(intent)) || phrase !== null;
  const routine = known && short && !HARD.test(bare);
  return { intent, target, incident, phrase, routine };
}
