import type { TestProject } from "vitest/node";
import { startAgentPeer } from "./agent-peer";
import { startIssuer } from "./issuer";
import { startLlm } from "./llm";
import { startMcpServer } from "./mcp-server";
import { startPayments } from "./payments";
import { startPlatforms } from "./platforms";
import { startQoopia } from "./qoopia";
import { startVendors } from "./vendors";
import { startWakeReceiver } from "./wake-receiver";

/** Starts the stand-ins of the outside world once for the whole run, on ephemeral ports of 127.0.0.1. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [vendors, platforms, llm, mcp, payments, issuer, wakes, agentPeer, qoopia] = await Promise.all([
    startVendors(),
    startPlatforms(),
    startLlm(),
    startMcpServer(),
    startPayments(),
    startIssuer(),
    startWakeReceiver(),
    startAgentPeer(),
    startQoopia(),
  ]);
  project.provide("vendorsUrl", vendors.url);
  project.provide("vendorsTcpPort", vendors.tcpPort);
  project.provide("platformsUrl", platforms.url);
  project.provide("llmUrl", llm.url);
  project.provide("mcpUrl", mcp.url);
  project.provide("paymentsUrl", payments.url);
  project.provide("issuerUrl", issuer.url);
  project.provide("wakesUrl", wakes.url);
  project.provide("agentPeerUrl", agentPeer.url);
  project.provide("qoopiaUrl", qoopia.url);
  return async () => {
    const all = [vendors, platforms, llm, mcp, payments, issuer, wakes, agentPeer, qoopia];
    await Promise.all(all.map((x) => x.close()));
  };
}
