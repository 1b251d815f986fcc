import { all } from "../kernel/d1";
import { sloView } from "./slo-view";

/** The text of /metrics (Prometheus 0.0.4): the wake SLO's metrics (wake-slo §6.4), and how the watch stands. */

type Labels = Record<string, string | number>;

interface Metric {
  name: string;
  type: "counter" | "gauge";
  help: string;
  rows: [Labels, number | null][];
}

const quoted = (text: string): string => text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");

/** A value nobody knows is left out: 0 would be a lie. */
function render({ name, type, help, rows }: Metric): string {
  const lines = rows
    .filter(([, n]) => n !== null)
    .map(([labels, n]) => {
      const inside = Object.entries(labels)
        .map(([k, v]) => `${k}="${quoted(String(v))}"`)
        .join(",");
      return `${name}${inside && `{${inside}}`} ${n}`;
    });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n");
}

/** `kind:rest:last`; an agent's id may hold a colon, a status does when it is an error's. */
function split(name: string): { kind: string; labels: Labels } | null {
  const [kind, ...rest] = name.split(":");
  if (kind === "probe") return { kind, labels: { direction: rest[0]!, status: rest[1]!, error_class: rest[2] ?? "" } };
  if (kind === "push") return { kind, labels: { agent: rest.slice(0, -1).join(":"), result: rest.at(-1)! } };
  const at = rest.length > 2 && rest.at(-2) === "error" ? -2 : -1;
  if (kind === "responder")
    return { kind, labels: { agent: rest.slice(0, at).join(":"), status: rest.slice(at).join(":") } };
  return null;
}

/** `now` is Reveille ms. Counters count what is kept: 400 days. */
export async function metricsText(db: D1Database, now: number): Promise<string> {
  const [counts, views, targets, incidents, wakes, dead] = await Promise.all([
    all<{ name: string; n: number }>(db.prepare("SELECT name, SUM(n) AS n FROM slo_count GROUP BY name ORDER BY name")),
    sloView(db, now),
    all<{ status: string; n: number }>(db.prepare("SELECT status, COUNT(*) AS n FROM target_state GROUP BY status")),
    all<{ severity: string; n: number }>(
      db.prepare("SELECT severity, COUNT(*) AS n FROM incident WHERE resolved_at IS NULL GROUP BY severity"),
    ),
    db.prepare("SELECT COUNT(*) AS n FROM message_wake WHERE state IN ('new', 'claimed')").first<{ n: number }>(),
    db.prepare("SELECT COUNT(*) AS n FROM dead_letter WHERE replayed_at IS NULL").first<{ n: number }>(),
  ]);
  const counted = (kind: string): [Labels, number][] =>
    counts.flatMap(({ name, n }) => {
      const read = split(name);
      return read?.kind === kind ? [[read.labels, n] as [Labels, number]] : [];
    });
  const metrics: Metric[] = [
    {
      ...{ name: "wake_slo_probe_total", type: "counter", help: "Wake probes that ended" },
      rows: counted("probe"),
    },
    {
      ...{ name: "wake_slo_level_ms", type: "gauge", help: "Time to each proof level over 24 h, nearest rank, ms" },
      rows: views.flatMap(({ row, windows }) =>
        Object.entries(windows["24h"].levels).flatMap(([level, l]): [Labels, number | null][] => [
          [{ direction: row.code, level, quantile: "0.5" }, l.p50_ms],
          [{ direction: row.code, level, quantile: "0.95" }, l.p95_ms],
          [{ direction: row.code, level, quantile: "0.99" }, l.p99_ms],
        ]),
      ),
    },
    {
      ...{ name: "wake_slo_responder_total", type: "counter", help: "Probes answered here, by result" },
      rows: counted("responder"),
    },
    {
      ...{ name: "wake_slo_budget_remaining", type: "gauge", help: "Share of the error budget that is left" },
      rows: views.flatMap(({ row, windows }) =>
        (["24h", "28d"] as const).map((window): [Labels, number | null] => [
          { direction: row.code, window },
          windows[window].budget_remaining,
        ]),
      ),
    },
    { ...{ name: "wake_push_total", type: "counter", help: "Wake pushes, by result" }, rows: counted("push") },
    {
      ...{ name: "wake_slo_coverage", type: "gauge", help: "Share of the planned probes of 24 h that ran" },
      rows: views.map(({ row, coverage }) => [{ direction: row.code }, coverage]),
    },
    {
      ...{ name: "reveille_targets", type: "gauge", help: "Targets by status" },
      rows: targets.map((t) => [{ status: t.status }, t.n]),
    },
    {
      ...{ name: "reveille_incidents_open", type: "gauge", help: "Incidents not resolved, by severity" },
      rows: incidents.map((i) => [{ severity: i.severity }, i.n]),
    },
    {
      ...{ name: "reveille_message_wakes_pending", type: "gauge", help: "Messages taken and not delivered yet" },
      rows: [[{}, wakes?.n ?? 0]],
    },
    {
      ...{ name: "reveille_dead_letters", type: "gauge", help: "Dead letters not replayed" },
      rows: [[{}, dead?.n ?? 0]],
    },
  ];
  return metrics.map(render).join("");
}
