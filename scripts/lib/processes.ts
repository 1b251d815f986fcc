import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Pids of the direct children of `parent` whose command is `name`. Needs /proc or `ps`. */
export function childrenNamed(parent: number, name: string): number[] {
  const table = execFileSync("ps", ["-A", "-o", "pid=,ppid=,comm="], { encoding: "utf8" });
  return table
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .flatMap((m) => (m && Number(m[2]) === parent && m[3]!.split("/").at(-1) === name ? [Number(m[1])] : []));
}

const LISTEN = "0A";

/** Inodes of the sockets that listen on `port`, from the text of /proc/net/tcp or tcp6. */
export function listeningInodes(table: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return table
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .flatMap((f) => (f[1]?.endsWith(`:${hex}`) && f[3] === LISTEN && f[9] ? [f[9]] : []));
}

/** Who listens on a TCP port of this machine; null when the system does not tell. Linux only. */
export function whoListens(port: number): { pid: number; name: string } | null {
  try {
    const inodes = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) =>
      listeningInodes(readFileSync(file, "utf8"), port),
    );
    const links = new Set(inodes.map((inode) => `socket:[${inode}]`));
    for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry)))
      if (holdsOneOf(pid, links)) return { pid: Number(pid), name: readFileSync(`/proc/${pid}/comm`, "utf8").trim() };
  } catch {
    // Not Linux, or the process ended while we looked.
  }
  return null;
}

function holdsOneOf(pid: string, links: Set<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => links.has(readlinkOrEmpty(`/proc/${pid}/fd/${fd}`)));
  } catch {
    return false; // Another user's process, or one that has just ended.
  }
}

function readlinkOrEmpty(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** User and system time of a process so far, ms. Linux. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
