/** Slack's markup as the words a person saw (chat-platforms §1.2). Pure. */

/** Deeper than any real message; what lies below is left out. */
const MAX_DEPTH = 12;

const decodeEntities = (text: string): string =>
  text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

/** One `<...>` of Slack's markup. */
function token(inner: string): string {
  const bar = inner.indexOf("|");
  const [head, label] = bar < 0 ? [inner, ""] : [inner.slice(0, bar), inner.slice(bar + 1)];
  if (head.startsWith("@")) return `@${(label || head.slice(1)).replace(/^@/, "")}`;
  if (head.startsWith("#")) return `#${(label || head.slice(1)).replace(/^#/, "")}`;
  if (head.startsWith("!date^")) return label;
  if (head.startsWith("!")) return label ? (label.startsWith("@") ? label : `@${label}`) : `@${head.slice(1)}`;
  // `mailto:a@b|a@b` and a link whose label is itself say one thing twice.
  return !label || head === label || head.endsWith(`:${label}`) ? label || head : `${label} (${head})`;
}

/** Is this bot user mentioned? Slack writes a mention as `<@U1>` or `<@U1|name>`. */
export const mentions = (text: string, botUser: string): boolean =>
  text.includes(`<@${botUser}>`) || text.includes(`<@${botUser}|`);

/** A message's `text`: a leading mention of the bot goes, markup becomes words, entities are decoded once. */
export function readSlackText(text: string, botUser: string | null): string {
  const lead = botUser === null ? null : /^\s*<@([A-Z0-9]+)(?:\|[^>]*)?>[\s:,]*/.exec(text);
  const rest = lead && lead[1] === botUser ? text.slice(lead[0].length) : text;
  return decodeEntities(rest.replace(/<([^<>]+)>/g, (_, inner: string) => token(inner))).trim();
}

type Node = Record<string, unknown>;
const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && !Array.isArray(value);
const nodes = (value: unknown): Node[] => (Array.isArray(value) ? value.filter(isNode) : []);
const str = (value: unknown): string => (typeof value === "string" ? value : "");

/** One inline element of a rich text. Its texts are not escaped, unlike those of mrkdwn. */
function inline(el: Node): string {
  switch (el["type"]) {
    case "text":
      return str(el["text"]);
    case "link":
      return el["text"] && el["text"] !== el["url"] ? `${str(el["text"])} (${str(el["url"])})` : str(el["url"]);
    case "user":
      return `@${str(el["user_id"])}`;
    case "channel":
      return `#${str(el["channel_id"])}`;
    case "usergroup":
      return `@${str(el["usergroup_id"])}`;
    case "broadcast":
      return `@${str(el["range"])}`;
    case "emoji":
      return `:${str(el["name"])}:`;
    case "date":
      return str(el["fallback"]);
    default:
      return "";
  }
}

function rich(el: Node, depth: number): string {
  if (depth > MAX_DEPTH) return "";
  const inner = nodes(el["elements"]);
  switch (el["type"]) {
    case "rich_text":
      return inner.map((x) => rich(x, depth + 1)).join("\n");
    case "rich_text_list":
      return inner.map((x, i) => `${el["style"] === "ordered" ? `${i + 1}.` : "-"} ${rich(x, depth + 1)}`).join("\n");
    case "rich_text_quote":
      return inner
        .map(inline)
        .join("")
        .split("\n")
        .map((line) => `> ${line}`)
        .join("\n");
    case "rich_text_preformatted":
      return `\`\`\`\n${inner.map(inline).join("")}\n\`\`\``;
    default:
      return inner.map(inline).join("");
  }
}

function block(b: Node, botUser: string | null): string {
  const text = (value: unknown): string => (isNode(value) ? readSlackText(str(value["text"]), botUser) : "");
  switch (b["type"]) {
    case "rich_text":
      return rich(b, 0);
    case "section":
      return [text(b["text"]), ...nodes(b["fields"]).map(text)].filter(Boolean).join("\n");
    case "header":
      return text(b["text"]);
    case "context":
      return nodes(b["elements"])
        .map((el) => str(el["alt_text"]) || readSlackText(str(el["text"]), botUser))
        .join(" ");
    case "markdown":
      return str(b["text"]);
    case "image":
    case "video":
      return [text(b["title"]), str(b["alt_text"])].find(Boolean) ?? "";
    default:
      return "";
  }
}

/** The words of a message whose `text` is empty: its blocks, else its attachments. A leading mention of the bot goes. */
export function flatten(blocks: unknown, attachments: unknown, botUser: string | null): string {
  const fromBlocks = nodes(blocks)
    .map((b) => block(b, botUser))
    .filter(Boolean)
    .join("\n")
    .trim();
  if (fromBlocks)
    return botUser !== null && fromBlocks.startsWith(`@${botUser}`)
      ? fromBlocks.slice(botUser.length + 1).replace(/^[\s:,]+/, "")
      : fromBlocks;
  return nodes(attachments)
    .map((a) => {
      const own = [a["pretext"], a["title"], a["text"], ...nodes(a["fields"]).flatMap((f) => [f["title"], f["value"]])];
      const words = own.map((x) => readSlackText(str(x), null)).filter(Boolean);
      return words.length > 0
        ? words.join("\n")
        : flatten(a["blocks"], [], null) || readSlackText(str(a["fallback"]), null);
    })
    .filter(Boolean)
    .join("\n")
    .trim();
}

/** Does a rich text name this bot user? A message may carry no `text` at all. */
export function blocksMention(blocks: unknown, botUser: string): boolean {
  const look = (node: Node, depth: number): boolean =>
    (node["type"] === "user" && node["user_id"] === botUser) ||
    (depth < MAX_DEPTH && nodes(node["elements"]).some((inner) => look(inner, depth + 1)));
  return nodes(blocks).some((b) => look(b, 0));
}
