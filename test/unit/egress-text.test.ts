import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cleanFilename } from "../../src/gateway";
import { parseMarkdown } from "../../src/platform/markdown";
import { slackEmoji } from "../../src/platform/slack/emoji";
import { renderMrkdwn, toMrkdwn } from "../../src/platform/slack/mrkdwn";
import { openFence, splitMarkdown, splitPlain, splitRich } from "../../src/platform/split";
import { toEntities, toTelegram } from "../../src/platform/telegram/entities";
import { telegramReaction } from "../../src/platform/telegram/reactions";
import { toWhatsApp } from "../../src/platform/whatsapp/send";

/** Proves how texts of gateways become a platform's own: markup, and parts (chat-platforms §0, §1.4, §3.4). */

const lone = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;
const words = fc
  .array(
    fc.constantFrom(
      "word",
      "👩‍💻",
      "🇩🇪",
      "é",
      "e\u0301",
      "\n",
      "\n\n",
      " ",
      "**b**",
      "`c`",
      "x".repeat(60),
      "&<>",
      "~~s~~",
      "[l](https://a.b)",
      "_i_",
      "\\*",
    ),
    { maxLength: 80 },
  )
  .map((parts) => parts.join(""));
const fenced = fc
  .array(
    fc.oneof(
      words,
      words.map((w) => `\n\`\`\`ts\n${w.replaceAll("`", "")}\n\`\`\`\n`),
    ),
    { maxLength: 6 },
  )
  .map((parts) => parts.join(""));
const bare = (text: string): string => text.replace(/```\w*|\s/g, "");

describe("parts", () => {
  it("keep to the limit, cut no character, and lose nothing but white space", () => {
    fc.assert(
      fc.property(words, fc.integer({ min: 20, max: 200 }), (text, limit) => {
        const parts = splitPlain(text, limit);
        expect(parts.every((p) => p.length <= limit && p.length > 0 && !lone.test(p))).toBe(true);
        expect(parts.join("").replace(/\s/g, "")).toBe(text.replace(/\s/g, ""));
      }),
    );
  });

  it("of raw Markdown close each fence they open, and open it again", () => {
    fc.assert(
      fc.property(fenced, fc.integer({ min: 80, max: 300 }), (text, limit) => {
        const parts = splitMarkdown(text, limit);
        const whole = openFence(text.trim()) === null;
        for (const [n, p] of parts.entries()) {
          expect(p.length).toBeLessThanOrEqual(limit);
          expect(lone.test(p)).toBe(false);
          if (n < parts.length - 1 || whole) expect(openFence(p)).toBeNull();
        }
        expect(bare(parts.join("\n"))).toBe(bare(text));
      }),
    );
  });

  it("cut at a paragraph before a line, at a line before a word", () => {
    expect(splitPlain(`${"a".repeat(30)}\n\n${"b".repeat(10)}\n${"c".repeat(30)}`, 50)).toEqual([
      "a".repeat(30),
      `${"b".repeat(10)}\n${"c".repeat(30)}`,
    ]);
    expect(splitPlain(`${"a".repeat(30)}\n${"b".repeat(10)} ${"c".repeat(30)}`, 50)[0]).toBe("a".repeat(30));
    expect(splitPlain(`${"a".repeat(10)} ${"b".repeat(30)} ${"c".repeat(30)}`, 50)[0]).toBe(
      `${"a".repeat(10)} ${"b".repeat(30)}`,
    );
  });

  it("keep the language of a fence on both sides", () => {
    const parts = splitMarkdown(`\`\`\`python\n${"line of code\n".repeat(20)}\`\`\``, 120);
    expect(parts.length).toBeGreaterThan(1);
    for (const p of parts) expect(p).toMatch(/^```python\n[\s\S]*\n```$/);
  });

  it("carry the marks that a cut goes through", () => {
    const rich = parseMarkdown(`**${"bold ".repeat(20).trim()}**`);
    const parts = splitRich(rich, 30, (p) => p.text.length);
    expect(parts.length).toBeGreaterThan(2);
    for (const p of parts) expect(p.marks).toEqual([{ kind: "bold", start: 0, end: p.text.length }]);
  });
});

describe("Markdown", () => {
  it("is parsed in time that grows with its length", () => {
    for (const hostile of ["[", "*", "_a", "**a ", "`", "[a](", "~~", "> ", "<https://", "*a **b "]) {
      const started = Date.now();
      parseMarkdown(hostile.repeat(50_000 / hostile.length));
      expect(Date.now() - started, hostile).toBeLessThan(1_500);
    }
  });

  it("keeps every word of any text, and marks inside it", () => {
    fc.assert(
      fc.property(fenced, (text) => {
        const rich = parseMarkdown(text);
        for (const m of rich.marks) expect(m.start >= 0 && m.start < m.end && m.end <= rich.text.length).toBe(true);
        for (const word of ["word", "👩‍💻", "x".repeat(60)])
          expect(rich.text.split(word).length).toBe(text.split(word).length);
      }),
    );
  });

  it.each([
    ["plain & <b>", "plain &amp; &lt;b&gt;"],
    ["**bold** and *it* and ~~no~~", "*bold* and _it_ and ~no~"],
    ["# Title\ntext", "*Title*\ntext"],
    ["[a|b](https://x.y/?a=1&b=2)", "<https://x.y/?a=1&amp;b=2|a b>"],
    ["`a < b` and snake_case_name", "`a &lt; b` and snake_case_name"],
    ["```ts\nif (a < b) **x**\n```", "```\nif (a &lt; b) **x**\n```"],
    ["- one\n- two", "• one\n• two"],
    ["> said\n> so", "> said\n> so"],
    ["<!channel> <@U0123456>", "&lt;!channel&gt; <@U0123456>"],
    ["[x](javascript:alert(1))", "[x](javascript:alert(1))"],
    ["2 * 3 * 4", "2 * 3 * 4"],
    ["\\*not bold\\*", "*not bold*"],
    ["|a|b|\n|-|-|\n|1|2|", "```\n|a|b|\n|-|-|\n|1|2|\n```"],
  ])("%j for Slack", (markdown, slack) => {
    expect(renderMrkdwn(parseMarkdown(markdown))).toBe(slack);
  });

  it("keeps Slack's limit after escaping", () => {
    for (const part of toMrkdwn("&".repeat(9_000), 5_000)) expect(part.length).toBeLessThanOrEqual(5_000);
    expect(toMrkdwn("&".repeat(9_000), 5_000).join("")).toBe("&amp;".repeat(9_000));
  });

  it("becomes entities whose offsets count UTF-16 units", () => {
    const { text, entities } = toEntities(parseMarkdown("👍 **b `c` d** [l](https://x.y)\n```js\n1\n```"));
    expect(text).toBe("👍 b c d l\n1");
    expect(entities).toEqual([
      { type: "bold", offset: 3, length: 2 },
      { type: "code", offset: 5, length: 1 },
      { type: "bold", offset: 6, length: 2 },
      { type: "text_link", offset: 9, length: 1, url: "https://x.y" },
      { type: "pre", offset: 11, length: 1, language: "js" },
    ]);
  });

  it("stays inside Telegram's text, whatever is cut", () => {
    fc.assert(
      fc.property(fenced, fc.integer({ min: 30, max: 200 }), (text, limit) => {
        for (const part of toTelegram(text, limit)) {
          expect(part.text.length).toBeLessThanOrEqual(limit);
          expect(part.text).toBe(part.text.trim());
          for (const e of part.entities)
            expect(e.offset >= 0 && e.length > 0 && e.offset + e.length <= part.text.length).toBe(true);
        }
      }),
    );
  });

  it("is WhatsApp's own but for code", () => {
    expect(toWhatsApp("## T\n**b** ~~s~~ `**c**` [l](https://x.y)")).toBe("*T*\n*b* ~s~ `**c**` l (https://x.y)");
  });
});

describe("small things", () => {
  it("knows emojis by glyph, name and tone", () => {
    expect([slackEmoji("👍"), slackEmoji("👍🏽"), slackEmoji("❤️"), slackEmoji(":eyes:"), slackEmoji("🪬")]).toEqual([
      "+1",
      "+1::skin-tone-4",
      "heart",
      "eyes",
      null,
    ]);
    expect([telegramReaction("👍"), telegramReaction("❤️"), telegramReaction("✅"), telegramReaction("🪬")]).toEqual([
      "👍",
      "❤",
      "👍",
      null,
    ]);
  });

  it("makes a file's name harmless", () => {
    expect(cleanFilename('../../etc/pass"wd\r\n.txt')).toBe("pass_wd__.txt");
    expect(cleanFilename("..")).toBeNull();
    expect(cleanFilename("größe 1.pdf")).toBe("größe 1.pdf");
  });
});
