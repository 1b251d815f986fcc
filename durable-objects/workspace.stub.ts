import type { Mail, ToolReply, WorkspaceCounts, WorkspacePort } from "../src/messaging";

/** What callers may ask of a workspace's object. */
export type WorkspaceMethods = WorkspacePort & {
  mail(workspace: string, mail: Mail): Promise<ToolReply>;
  counts(): Promise<WorkspaceCounts>;
};

/** The object of one workspace, by its id. */
export const workspaceObject = (namespace: DurableObjectNamespace, workspace: string): WorkspaceMethods =>
  namespace.get(namespace.idFromName(workspace)) as unknown as WorkspaceMethods;
