import type { TestProject } from "vitest/node";
import { bundleWorker } from "../../scripts/lib/bundle";

/** Bundles the consumer, so that real queue messages reach it beside the tests (docs: design §9). */
export default async function setup(project: TestProject): Promise<void> {
  project.provide("consumerCode", await bundleWorker("src/consumer/index.ts"));
}
