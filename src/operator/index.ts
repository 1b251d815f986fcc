/** What the edge may use of the operator pages. */
export { ASSETS } from "./assets";
export { searchAudit } from "./audit.store";
export { type AuditChip, parseChips } from "./audit-query";
export {
  type CodeRefusal,
  closeSession,
  createLoginCode,
  csrfGood,
  csrfToken,
  openSession,
  SESSION_COOKIE,
  sessionCookie,
  spendCode,
} from "./auth";
export { claimForm, releaseForm } from "./auth.store";
export type { ChartData } from "./chart";
export type { Flash, PageContext, Part, ShellData } from "./context";
export { FLASH_COOKIE, flashCookie, noFlashCookie, readFlash } from "./flash";
export { bodyOf, guess, type NewForm } from "./guess";
export { readHistory } from "./history.cache";
export { markRead, readInbox } from "./inbox.store";
export { countIncidents, countOfTarget, firstTold, othersAt, readOpeningWakes } from "./incidents.store";
export { BarePage, Page } from "./layout";
export { type Around, countStates, filterLines, sortLines, viewOf, withHistory } from "./overview";
export { AuditPage } from "./pages/audit";
export { type BudgetData, BudgetPage } from "./pages/budget";
export { ConfirmPage, type InstanceLine, instancePath, OncePage } from "./pages/connector-parts";
export { type DeadData, DeadPage, type DeadRow } from "./pages/dead-letters";
export { type DeliveriesData, DeliveriesPage, DeliveryPage } from "./pages/deliveries";
export { type GatewaysData, GatewaysPage } from "./pages/gateways";
export { type HooksData, HooksPage } from "./pages/hooks";
export { InboxPage } from "./pages/inbox";
export { IncidentPage } from "./pages/incident";
export { IncidentsPage, TABS, type Tab } from "./pages/incidents";
export { type InstanceData, InstancePage } from "./pages/instance";
export { ListenersPage } from "./pages/listeners";
export { type MaintenanceData, MaintenancePage, type WindowForm } from "./pages/maintenance";
export { agentPath, type MessagingData, MessagingPage } from "./pages/messaging";
export { type NewTargetData, NewTargetPage } from "./pages/new-target";
export { type OverviewData, OverviewPage, type OverviewTargets } from "./pages/overview";
export { type PlatformsData, PlatformsPage } from "./pages/platforms";
export { type AgentsData, AgentsPage, type SessionsData, SessionsPage } from "./pages/relay";
export { SessionActPage, type SessionData, SessionPage, sessionPath } from "./pages/session";
export { LoginPage, NotFoundPage, ProblemPage } from "./pages/simple";
export { type SloLine, SloPage } from "./pages/slo";
export { EnvelopePage, type EnvelopeRow, MODES, SwitchboardPage } from "./pages/switchboard";
export { RANGES, type Range, type TargetData, TargetPage } from "./pages/target";
export { DeletePage } from "./pages/target-delete";
export type { LastLook } from "./pages/target-parts";
export { AdminPage, type TrustData, TrustPage } from "./pages/trust";
export { bySoonestEnd } from "./pages/waiting";
export { readShell, versionTag } from "./shell.store";
export { STATE_WORD, STATES, type State, stateOfStatus } from "./state";
export { readLastLook, readTargetHistory } from "./target";
export { findPage, readOverviewFacts, readTargetLines, type TargetLine } from "./targets.store";
export { nextHour, zonedTime, zoneName, zoneOf } from "./zone";
