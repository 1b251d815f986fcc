/**
 * zod without its message catalogues: what stands behind "zod" in the edge's bundle (`[alias]` in wrangler.toml). One library there
 * takes zod's whole namespace, and sixty languages came with it: 49 KiB of gzip. Everything else is zod's own.
 */
import * as z from "./zod.parts";

export * from "./zod.parts";
export { z, z as default };
