/** The only reactions a bot may set (chat-platforms §3.4), and the nearest of them for what agents use elsewhere. */

const FIXED = new Set(
  (
    "❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤‍🔥 🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 " +
    "👨‍💻 👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷‍♂ 🤷 🤷‍♀ 😡"
  ).split(" "),
);

const NEAREST: Record<string, string> = {
  "✅": "👍",
  "✔": "👍",
  "☑": "👍",
  "❌": "👎",
  "⏳": "🤔",
  "⌛": "🤔",
  "🚀": "🔥",
  "😂": "🤣",
  "⚠": "😨",
};

/** A reaction that Telegram takes, or null. */
export function telegramReaction(emoji: string): string | null {
  const glyph = emoji.trim().replace(/\uFE0F/g, "");
  const toned = glyph.replace(/[\u{1F3FB}-\u{1F3FF}]/gu, "");
  for (const g of [glyph, toned]) if (FIXED.has(g)) return g;
  return NEAREST[toned] ?? null;
}
