import { Hono } from "hono";
import type { AppEnv } from "../kit";

export const pageRoutes = new Hono<AppEnv>();
