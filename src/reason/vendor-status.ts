import * as z from "zod";
import { readCapped } from "../kernel/http";
import { guardedFetch } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import type { Target } from "../watch";

/** A status page in the form most vendors use (Statuspage's `/api/v2/status.json`). */
const page = z.object({ status: z.object({ indicator: z.string().max(40), description: z.string().max(2_000) }) });

const TIMEOUT_MS = 3_000;
const CAP = 65_536;

/**
 * The one line of the vendor's own status page, when the target names one (`config.status_url`); null when it does not, or
 * when the page can't be read in 3 s: an explanation never fails for its decoration.
 */
export async function vendorStatus(runtime: Runtime, target: Target): Promise<string | null> {
  const base = target.config["status_url"];
  if (typeof base !== "string") return null;
  try {
    const { response } = await guardedFetch(
      new URL(`${base.replace(/\/+$/, "")}/api/v2/status.json`),
      { headers: { accept: "application/json", "user-agent": "reveille/1" }, signal: AbortSignal.timeout(TIMEOUT_MS) },
      runtime.config.allowPrivate,
    );
    const { bytes, truncated } = await readCapped(response.body, CAP);
    if (!response.ok || truncated) return null;
    const { status } = page.parse(JSON.parse(new TextDecoder().decode(bytes)));
    return runtime.redact.text(`${status.indicator}: ${status.description}`);
  } catch {
    return null;
  }
}
