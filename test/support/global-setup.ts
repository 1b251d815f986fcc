import type { TestProject } from "vitest/node";
import { startIssuer } from "./issuer";
import { startLlm } from "./llm";
import { startMcpServer } from "./mcp-server";
import { startPayments } from "./payments";
import { startPlatforms } from "./platforms";
import { startVendors } from "./vendors";

/** Starts the stand-ins of the outside world once for the whole run, on ephemeral ports of 127.0.0.1. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [vendors, platforms, llm, mcp, payments, issuer] = await Promise.all([
    startVendors(),
    startPlatforms(),
    startLlm(),
    startMcpServer(),
    startPayments(),
    startIssuer(),
  ]);
  project.provide("vendorsUrl", vendors.url);
  project.provide("vendorsTcpPort", vendors.tcpPort);
  project.provide("platformsUrl", platforms.url);
  project.provide("llmUrl", llm.url);
  project.provide("mcpUrl", mcp.url);
  project.provide("paymentsUrl", payments.url);
  project.provide("issuerUrl", issuer.url);
  return async () => {
    await Promise.all([vendors.close(), platforms.close(), llm.close(), mcp.close(), payments.close(), issuer.close()]);
  };
}
