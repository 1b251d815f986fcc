export {
  type AuditQuery,
  type AuditRow,
  type AuditView,
  auditIfChanged,
  auditStatement,
  readAudit,
} from "./audit.store";
export { SEAMS, type Seam, SOURCES, type Source } from "./seams";
