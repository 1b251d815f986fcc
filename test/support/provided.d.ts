import "vitest";

declare module "vitest" {
  /** What the global setups hand to tests: `inject("vendorsUrl")`. */
  export interface ProvidedContext {
    /** Base URL of the vendors' stand-in (test/support/vendors.ts). */
    vendorsUrl: string;
    /** Port of its TCP echo listener on 127.0.0.1. */
    vendorsTcpPort: number;
    /** Base URL of the chat platforms' stand-in (test/support/platforms.ts). */
    platformsUrl: string;
    /** Base URL of the model providers' stand-in (test/support/llm.ts). */
    llmUrl: string;
    /** URL of the remote MCP server's stand-in (test/support/mcp-server.ts), ends in `/mcp`. */
    mcpUrl: string;
    /** Base URL of the payment verifier's stand-in (test/support/payments.ts). */
    paymentsUrl: string;
    /** Base URL of the identity provider's stand-in (test/support/issuer.ts). */
    issuerUrl: string;
    /** Base URL of agents' runtimes that are woken (test/support/wake-receiver.ts). */
    wakesUrl: string;
    /** Base URL of another machine's agent messaging, as a prober sees it (test/support/agent-peer.ts). */
    agentPeerUrl: string;
    /** Base URL of the agent messaging peers' stand-in (test/support/qoopia.ts): a peer is `{base}/{name}`. */
    qoopiaUrl: string;
    /** The consumer Worker as one module, for the auxiliary Worker of the integration project. */
    consumerCode: string;
  }
}
