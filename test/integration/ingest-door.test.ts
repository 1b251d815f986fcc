import { beforeAll, describe, expect, it, test } from "vitest";
import { readAudit } from "../../src/audit";
import { ingest } from "../../src/edge/ingest";
import { runtimeOf } from "../../src/kernel/runtime";
import { ADAPTORS } from "../../src/platform";
import {
  edge,
  type Home,
  makeHome,
  type Reply,
  slack,
  slackEvent,
  slackMessage,
  telegram,
  telegramMessage,
  unique,
} from "./ingest-kit";

/**
 * The door of the webhooks: bodies that must not be opened, and what platforms tell of chats and workspaces rather than in them.
 * Through the Worker's own handler, over real D1 and real objects.
 */

let home: Home;
beforeAll(async () => {
  home = await makeHome();
});

const ACK: Pick<Reply, "status" | "body"> = { status: 200, body: "" };
const bare = ({ status, body }: Reply) => ({ status, body });

describe("what platforms tell of themselves", () => {
  it("a deleted message is taken back while it waits", async () => {
    const fresh = await makeHome();
    const one = slackMessage(fresh, { text: "regretted" });
    await slackEvent(one);
    const { ts, user, text } = one.event;
    const previous_message = { type: "message", ts, user, text };
    const gone = { subtype: "message_deleted", hidden: true, deleted_ts: ts, ts: "1790009999.000001", user: undefined };
    expect(bare(await slackEvent(slackMessage(fresh, { ...gone, text: undefined, previous_message })))).toEqual(ACK);
    expect((await fresh.rows()).map((r) => r.state)).not.toContain("queued");
    expect((await fresh.gateway.view()).waiting).toBe(0);
  });

  it("a group that became a supergroup keeps its holder", async () => {
    const fresh = await makeHome();
    const [from, to] = [-(500_000 + unique()), -1_000_000_500_000 - unique()];
    await edge.DB.prepare("INSERT INTO scope_grant VALUES ('telegram', '', ?, 'acme', ?, 'test', ?)")
      .bind(String(from), fresh.to.instance, Date.now())
      .run();
    const update = telegramMessage(fresh, {
      text: undefined,
      chat: { id: from, type: "group", title: "Ops" },
      migrate_to_chat_id: to,
    });
    expect(bare(await telegram(update))).toEqual(ACK);
    const grant = await edge.DB.prepare(
      "SELECT channel_id FROM scope_grant WHERE platform = 'telegram' AND instance = ?",
    )
      .bind(fresh.to.instance)
      .first<{ channel_id: string }>();
    expect(grant?.channel_id).toBe(String(to));
  });

  it("a revoked workspace is marked and told in an audit row", async () => {
    const team = `T0GONE${unique()}`;
    await edge.DB.prepare(
      "INSERT INTO platform_app VALUES ('slack', 'gone', 'U0B', 'B0B', 'hermes', 'ok', '[]', 0)",
    ).run();
    const gone = slackMessage(home, {}, { team_id: team });
    expect(bare(await slackEvent({ ...gone, event: { type: "tokens_revoked" } }, { app: "gone" }))).toEqual(ACK);
    const app = await edge.DB.prepare("SELECT state FROM platform_app WHERE app = 'gone'").first<{ state: string }>();
    expect(app?.state).toBe("refused");
    const rows = await readAudit(edge.DB, { seam: "connector.changed", limit: 50 });
    expect(rows.map((r) => JSON.stringify(r.details))).toContainEqual(expect.stringContaining(team));
  });
});

describe("the door", () => {
  const bomb = async (): Promise<Uint8Array> => {
    const zeros = new Blob([new Uint8Array(8 * 1024 * 1024)]).stream().pipeThrough(new CompressionStream("gzip"));
    return new Uint8Array(await new Response(zeros).arrayBuffer());
  };

  test("a compressed body is refused unopened, though it is signed", async () => {
    const started = Date.now();
    const reply = await slack("events", await bomb(), { headers: { "content-encoding": "gzip" } });
    expect(bare(reply)).toEqual({ status: 415, body: "" });
    expect(Date.now() - started).toBeLessThan(1_000);
    for (const coding of ["deflate", "br", "gzip, identity", "zstd"])
      expect((await slackEvent(slackMessage(home), { headers: { "content-encoding": coding } })).status).toBe(415);
    expect((await slackEvent(slackMessage(home), { headers: { "content-encoding": "identity" } })).status).toBe(200);
  });

  test("a body in another charset is refused; UTF-8 by any spelling is not", async () => {
    for (const [charset, status] of [
      ["utf-16", 415],
      ["iso-8859-1", 415],
      ["UTF-8", 200],
      ['"utf8"', 200],
    ] as const)
      expect(
        (await slackEvent(slackMessage(home), { headers: { "content-type": `application/json; charset=${charset}` } }))
          .status,
      ).toBe(status);
    const latin = new Uint8Array([...new TextEncoder().encode('{"a":"'), 0xe9, ...new TextEncoder().encode('"}')]);
    expect((await slack("events", latin)).status).toBe(400);
  });

  test("one byte more than 1 MiB, said or unsaid, is refused on every tail", async () => {
    for (const tail of ["events", "interactions", "commands"])
      expect((await slack(tail, new Uint8Array(1024 * 1024 + 1).fill(32))).status).toBe(413);
    expect((await telegram(" ".repeat(1024 * 1024 + 1))).status).toBe(413);
  });

  test("a body that does not come to its end is let go", async () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode("{")),
    });
    const deps = { env: edge, rt: runtimeOf(edge, "edge"), later: () => {}, bodyMs: 30 };
    const request = new Request("http://reveille.test/webhooks/slack/app/events", { method: "POST", body });
    const adaptor = ADAPTORS.find((a) => a.name === "slack")!;
    expect((await ingest(deps, adaptor, { app: "app", tail: "events" }, request)).status).toBe(408);
  });

  test("another app of a platform has its own secret and bot", async () => {
    const fresh = await makeHome();
    const own = { REVEILLE_SLACK_SIGNING_SECRET__SALES: "another-signing-secret-000000000001" };
    const one = slackMessage(fresh);
    expect((await slackEvent(one, { app: "sales", env: own })).status).toBe(401);
    expect((await slackEvent(one, { app: "support", env: own })).status).toBe(200);
    expect((await fresh.rows()).map((r) => r.app)).toEqual(["support"]);
  });

  test("a body cut off half way is refused, and nothing of it is stored", async () => {
    const fresh = await makeHome();
    const text = JSON.stringify(slackMessage(fresh));
    expect((await slack("events", text.slice(0, text.length / 2))).status).toBe(400);
    expect(await fresh.rows()).toEqual([]);
  });
});
