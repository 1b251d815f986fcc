import { attachmentProblem, frameValue, type Verified, verifyEnvelope } from "../session";
import { legacyConnected, legacyInput, wireInputId } from "./legacy";
import { closeFor, errorFrame } from "./limits";
import type { Bound } from "./line";
import type { ClientFrame } from "./peek";
import type { RelayRun, Turn } from "./record";

/** Inputs of one client that may wait for a 0.6.5 agent, which does one thing at a time. */
const MAX_INPUTS = 8;

/** What the relay needs to be the host of a 0.6.5 agent for one client. */
export interface HostPorts {
  tell(frame: string): void;
  close(code: number, reason: string): void;
  toAgent(frame: string): void;
  /** The session's newest run, interrupted ones told as such. */
  run(): Promise<RelayRun | null>;
  /** What was said before, oldest first. */
  history(): Promise<Turn[]>;
  begin(inputId: string | null, prompt: string): Promise<void>;
  newId(): string;
  /** Wall seconds. */
  now_s: number;
}

/**
 * A client's frame for a 0.6.5 agent. The line is open, so the first frame is proven (`first`); the agent itself checks
 * nothing that comes over a relay, so neither an unproven nor another signer's INPUT gets through.
 */
export async function hostFrame(
  bound: Bound,
  frame: ClientFrame,
  first: Verified | null,
  ports: HostPorts,
): Promise<void> {
  switch (frame.type) {
    case "CONNECT":
      if (first === null && bound.stage === "connected")
        return ports.tell(errorFrame("already authenticated: open a new connection"));
      bound.stage = "connected";
      return ports.tell(legacyConnected(bound.rid, await ports.run(), await ports.history()));
    case "INPUT":
      return await input(bound, frame, first, ports);
    case "SESSION_STATUS": {
      const mine = bound.owner !== null && (frame.asks_for ?? bound.rid) === bound.rid;
      const run = mine ? await ports.run() : null;
      const status = !mine ? "not_found" : run?.status === "running" ? "running" : "connected";
      return ports.tell(JSON.stringify({ type: "SESSION_STATUS", session_id: frame.asks_for ?? bound.rid, status }));
    }
    default:
      // It knows no approvals, modes or onboarding; upstream ignores what it does not know.
      return;
  }
}

async function input(bound: Bound, frame: ClientFrame, first: Verified | null, ports: HostPorts): Promise<void> {
  if (bound.owner === null) return refuse(ports, "authenticate first (send CONNECT)");
  const value = frameValue(frame.frame);
  let prompt = value["prompt"];
  // The signed prompt wins over the top-level one, and a signature that is there must hold.
  if (frame.signed) {
    const verified = first ?? (await verifyEnvelope(frame.frame, { now_s: ports.now_s, address: bound.agent }));
    if (!verified.ok) return refuse(ports, verified.error);
    if (verified.from !== bound.owner)
      return refuse(ports, "unauthorized: command signer does not own this connection");
    prompt = verified.payload["prompt"];
  } else if (bound.stage !== "connected") return refuse(ports, "authenticate first (send CONNECT)");
  // It takes a prompt and nothing else: left out silently, an answer would pass for one to all of it.
  const attached = attachmentProblem(value, value["payload"]);
  if (attached !== null) return ports.tell(errorFrame(attached));
  if (typeof prompt !== "string" || prompt === "") return ports.tell(errorFrame("prompt required"));
  const run = await ports.run();
  const joins = run?.status === "running";
  if (joins && run.waiting >= MAX_INPUTS)
    return ports.tell(errorFrame(`agent busy: ${MAX_INPUTS} inputs wait for it`, { retryable: true }));
  const id = ports.newId();
  await ports.begin(frame.input_id, prompt);
  // A second input joins the run: clients resolve everything with one OUTPUT, so there is one, for all of them.
  if (joins) ports.tell(JSON.stringify({ type: "RUNTIME_INPUT_ACK", session_id: bound.rid, id }));
  ports.toAgent(legacyInput(wireInputId(bound.rid, id), prompt));
}

function refuse(ports: HostPorts, error: string): void {
  ports.tell(errorFrame(error));
  ports.close(closeFor(error), error);
}
