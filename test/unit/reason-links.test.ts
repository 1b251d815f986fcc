import { describe, expect, it } from "vitest";
import { strange, withoutLinks } from "../../src/reason/fence";

/** What a stranger writes to look like a link leads nowhere, in whatever letters and shape. */

describe("look-alikes of links", () => {
  it.each([
    "https://evil.example/approve",
    "evil.example/approve",
    "evil.example?approve=1",
    "evil.example#approve",
    "evil.example:8443/approve",
    "...evil.example/approve",
    "-evil.example/approve",
    "a.b.c.d.e.f.g.h.i.j.k.l.evil.example/approve",
    "еxample.com/approve",
    "пример.рф/одобрить",
    "xn--e1afmkfd.xn--p1ai/approve",
    "10.0.0.1/approve",
    "www.evil.example",
    "tg://resolve?domain=evil",
    "slack://user?team=T1",
    "mailto:a@evil.example",
    "HTTPS://EVIL.EXAMPLE",
  ])("%s", (link) => {
    const said = withoutLinks(`Approve here: ${link} now`);
    expect(said).toContain("(link removed)");
    expect(said).not.toMatch(/evil|example|пример|10\.0|resolve|team/i);
    expect(said).toMatch(/^Approve here: .* now$/);
  });

  it.each([
    "HTTP 503 from api.machines.dev",
    "v1.2.3",
    "checks 2/3 passing",
    "p95 1.5 s",
    "see config.apps",
    "3/5 apps",
    "db.internal:5432 refused",
    "10.0.0.0/24 lost",
    "is it api.example.com?",
  ])("words stay: %s", (text) => expect(withoutLinks(text)).toBe(text));

  it("mentions and markup of Slack and HTML become words", () => {
    const said = strange(
      "<!channel> <@U0OPERATOR> <https://evil.example|Approve> <b>x</b> [ok](https://evil.example)",
      400,
    );
    expect(said).not.toMatch(/[<>]|evil/);
    expect(strange("<<!channel>>", 100)).not.toMatch(/[<>]/);
  });

  it("a long text costs time in proportion to its length", () => {
    const began = Date.now();
    for (const part of ["a.", "aa-", "1.2.3.", "x.y/ ", "-.", "п."]) withoutLinks(part.repeat(200_000));
    expect(Date.now() - began).toBeLessThan(3_000);
  });
});
