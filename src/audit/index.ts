export { type AuditQuery, type AuditRow, type AuditView, auditStatement, readAudit } from "./audit.store";
export { SEAMS, SOURCES, type Seam, type Source } from "./seams";
