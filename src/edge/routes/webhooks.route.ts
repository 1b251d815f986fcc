import { Hono } from "hono";
import { ADAPTORS } from "../../platform";
import { ingest } from "../ingest";
import { type AppEnv, runtime } from "../kit";
import { hintFor } from "./host/socket.route";

const APP = ":app{[A-Za-z0-9_-]{1,64}}";

/** `/webhooks/{platform}/{app}/{tail}`: every platform by its adaptor (design §8). The bytes are read in ingest.ts alone. */
export const webhookRoutes = new Hono<AppEnv>();
for (const adaptor of ADAPTORS)
  for (const tail of adaptor.tails)
    webhookRoutes.all(`/webhooks/${adaptor.name}/${APP}${tail && `/${tail}`}`, (c) =>
      ingest(
        {
          env: c.env,
          rt: runtime(c),
          later: (work) => c.executionCtx.waitUntil(work),
          hint: hintFor(c),
        },
        adaptor,
        { app: c.req.param("app") ?? "", tail },
        c.req.raw,
      ),
    );
