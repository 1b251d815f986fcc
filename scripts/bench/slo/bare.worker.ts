/**
 * What the responder is measured against: a Worker that makes the same two MCP calls in the request itself. No secret, no limit, no
 * gate, no claim, nothing stored: what dies is lost, what comes twice is answered twice. `/queued` does the same two calls behind a
 * queue of its own, which tells what the local queue takes.
 */

interface Env {
  PEER: string;
  KEY: string;
  QUEUE: Queue<Ping>;
}

interface Ping {
  message_id: string;
  session_id: string;
  body: string;
}

async function call(env: Env, name: string, args: Record<string, unknown>): Promise<void> {
  const id = crypto.randomUUID();
  const answer = await fetch(`${env.PEER}/mcp`, {
    method: "POST",
    redirect: "manual",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      authorization: `Bearer ${env.KEY}`,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name, arguments: args } }),
  });
  const data = /^data: (.*)$/m.exec(await answer.text())?.[1];
  const said = JSON.parse(data ?? "{}") as { id?: string; result?: { isError?: boolean } };
  if (answer.status !== 200 || said.id !== id || !said.result || said.result.isError)
    throw new Error(`${name} was answered with ${answer.status}.`);
}

async function answer(env: Env, { message_id, session_id, body }: Ping): Promise<void> {
  await call(env, "agent_ack", { message_id, status: "auto_pong" });
  await call(env, "agent_reply", {
    session_id,
    body: body.replace("PING", "PONG"),
    close: true,
    reply_to_message_id: message_id,
    idempotency_key: `wake-slo:${message_id}`,
  });
}

export default {
  async fetch(request, env) {
    const { message_id, session_id, body } = (await request.json()) as Ping;
    const ping = { message_id, session_id, body };
    if (new URL(request.url).pathname === "/queued") await env.QUEUE.send(ping);
    else await answer(env, ping);
    return Response.json({ accepted: true }, { status: 202 });
  },
  async queue(batch, env) {
    await Promise.all(batch.messages.map((m) => answer(env, m.body)));
  },
} satisfies ExportedHandler<Env, Ping>;
