import { beforeAll, expect, it } from "vitest";
import { decide, readStanding } from "../../src/trust";
import { Browser } from "./browser-kit";
import { audited, deps, edge, newSigner, setPolicy } from "./trust-kit";

/** Proposals about clients in the inbox, as a rule makes them, and what their answers do. */

const CODE = "inbox-code-51";
const b = new Browser();

beforeAll(async () => {
  await setPolicy(
    `---\ninvite_code: ${CODE}\nfast_rules:\n  - {if: has_invite_code, action: verify_invite, on_success: promote_to_whitelist}\n  - {if: is_contact, action: allow}\n---\n`,
  );
  await b.signIn();
});

/** A client for whom a rule asks for the whitelist. */
async function proposed(): Promise<string> {
  const { address } = await newSigner();
  await decide(await deps(), { client_id: address, situation: "input", invite_code: CODE });
  return address;
}
const level = async (id: string): Promise<string> => (await readStanding(edge.DB, id)).level;
const idOf = async (client: string): Promise<string> =>
  (await edge.DB.prepare("SELECT id FROM trust_proposal WHERE client_id = ? AND state = 'pending'")
    .bind(client)
    .first<string>("id"))!;

it("wait in the inbox; confirmed there they change the level, once, with a row", async () => {
  const client = await proposed();
  const id = await idOf(client);
  await b.go("/inbox");
  expect(b.html).toContain("1 proposal waits");
  expect(b.html).toContain(`title="${client}"`);
  expect(b.html).toContain("contact → whitelist");
  const form = b.form(`/inbox/trust/${id}`);
  expect(form["answer"]).toBe("confirm");
  await b.act(`/inbox/trust/${id}`);
  expect(await level(client)).toBe("whitelist");
  expect(b.html).not.toContain(`/inbox/trust/${id}`);
  expect(b.html).toContain("Nothing waits.");
  expect((await audited(client)).at(-1)).toMatchObject({ action: "promote_to_whitelist", actor: "operator" });
  // The same form again, as a double click sends it.
  await b.post(`/inbox/trust/${id}`, form);
  expect((await audited(client)).filter((r) => r["action"] === "promote_to_whitelist")).toHaveLength(1);
});

it("refused they change nothing and are gone", async () => {
  const client = await proposed();
  const id = await idOf(client);
  await b.go("/inbox");
  const fields = { ...b.form(`/inbox/trust/${id}`), answer: "reject" };
  const answer = await b.post(`/inbox/trust/${id}`, fields);
  expect(answer.headers.get("location")).toBe("/inbox");
  await b.go("/inbox");
  expect(b.html).toContain("Rejected: nothing was changed.");
  expect(await level(client)).toBe("contact");
  expect(await idOf(client)).toBeNull();
  const row = await edge.DB.prepare("SELECT details FROM audit WHERE json_extract(details, '$.proposal') = ?")
    .bind(id)
    .first<string>("details");
  expect(JSON.parse(row!)).toMatchObject({ actor: "operator", action: "reject_proposal" });
});

it("an answer without the session's token does nothing", async () => {
  const client = await proposed();
  const response = await b.post(`/inbox/trust/${await idOf(client)}`, { answer: "confirm", csrf: "wrong" });
  expect(response.status).toBe(403);
  expect(await level(client)).toBe("contact");
});
