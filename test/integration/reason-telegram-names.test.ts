import { beforeEach, expect, it } from "vitest";
import { telegramChannel } from "../../src/notify/channels/telegram.channel";
import { control, ledger, notice, runtimeWith } from "./notify-kit";

/** Telegram makes a link of any bare host name. What a model or a vendor wrote must not become one; our own links stay. */

beforeEach(() => control({ reset: true }));

it("a bare host name in a notice is no link, and reads the same", async () => {
  const own = "https://reveille.example/incidents/1?x=1";
  await telegramChannel.send(runtimeWith(), {
    thread: null,
    broadcast: false,
    idempotency_key: "names",
    notice: notice({
      title: "Why: approve at evil.example.com",
      body: `Open еvil.рф, (login.evil.co) or t.me. It took 1.5 s, v1.2.3; it is over. See ${own}. Full text: ${own}`,
      url: own,
      quote: "",
    }),
  });
  const [message] = (await ledger()).telegram;
  const text = String(message?.text);
  for (const host of ["evil.example.com", "еvil.рф", "login.evil.co", "t.me"]) expect(text).not.toContain(host);
  expect(text.replaceAll("\u2060", "")).toContain(
    "Open еvil.рф, (login.evil.co) or t.me. It took 1.5 s, v1.2.3; it is over.",
  );
  expect(text.split(own)).toHaveLength(4);
});
