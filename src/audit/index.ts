export {
  type AuditQuery,
  type AuditRow,
  type AuditView,
  auditIfChanged,
  auditStatement,
  auditWhen,
  readAudit,
} from "./audit.store";
export { SEAMS, type Seam, SOURCES, type Source } from "./seams";
