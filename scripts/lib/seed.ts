import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import * as z from "zod";
import { ReveilleError } from "../../src/kernel/errors";
import { type AllowEntry, checkHost, checkUrl } from "../../src/kernel/net-guard";
import { hostsOf, idFromName, schemaError, type TargetInput, targetInput, urlsOf } from "../../src/watch/target.schema";

/** One thing wrong in a seed file. Lines count from 1. */
export interface SeedProblem {
  line: number;
  message: string;
}

/** A target of the file, as the API will get it. */
export interface SeedEntry {
  id: string;
  line: number;
  target: TargetInput & { id: string };
}

export interface Seed {
  entries: SeedEntry[];
  problems: SeedProblem[];
}

/**
 * Reads a seed file: a YAML (or JSON) list of targets, each as the body of `POST /api/v1/targets`. Everything that is wrong
 * is found at once, with its line; with problems, nothing must be applied.
 */
export function parseSeed(text: string, allowPrivate: AllowEntry[]): Seed {
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines });
  const lineAt = (offset: number | undefined): number =>
    offset === undefined ? 1 : Math.max(1, lines.linePos(offset).line);
  const problems: SeedProblem[] = doc.errors.map((e) => ({
    line: lineAt(e.pos[0]),
    message: e.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, ""),
  }));
  const root = doc.contents;
  if (problems.length > 0 || root === null || (isScalar(root) && root.value === null)) return { entries: [], problems };
  if (!isSeq(root))
    return {
      entries: [],
      problems: [{ line: lineAt(root.range?.[0]), message: 'The file must be a list: each target starts with "- ".' }],
    };

  const entries: SeedEntry[] = [];
  for (const item of root.items as Node[]) {
    const line = lineAt(item.range?.[0]);
    const read = targetInput.safeParse(item.toJS(doc));
    if (!read.success) {
      for (const issue of read.error.issues)
        problems.push({
          line: lineAt(offsetOf(item, issue)) || line,
          message: words(schemaError(new z.ZodError([issue]))),
        });
      continue;
    }
    const id = read.data.id ?? idFromName(read.data.name);
    for (const refused of privateAddresses(read.data, allowPrivate))
      problems.push({ line: lineAt(offsetAt(item, refused.field.split("."))) || line, message: words(refused.error) });
    const twin = entries.find((e) => e.id === id);
    if (twin)
      problems.push({ line, message: `"${id}" stands twice; the first is on line ${twin.line}. Give one another id.` });
    else entries.push({ id, line, target: { ...read.data, id } });
  }
  return { entries, problems: problems.sort((a, b) => a.line - b.line) };
}

const words = (error: ReveilleError): string =>
  error.hint ? `${error.message}${/[.!?]$/.test(error.message) ? "" : "."} ${error.hint}` : error.message;

function privateAddresses(target: TargetInput, allow: AllowEntry[]): { field: string; error: ReveilleError }[] {
  const checks = [
    ...urlsOf(target).map((u) => ({ field: u.field, run: (): unknown => checkUrl(u.url, allow, u.field) })),
    ...hostsOf(target).map((h) => ({ field: h.field, run: (): unknown => checkHost(h.host, h.port, allow, h.field) })),
  ];
  return checks.flatMap(({ field, run }) => {
    try {
      run();
      return [];
    } catch (error) {
      if (error instanceof ReveilleError) return [{ field, error }];
      throw error;
    }
  });
}

/** Where in the text an issue is: the unknown key itself, or the deepest part of its path that exists. */
function offsetOf(item: Node, issue: z.core.$ZodIssue): number | undefined {
  const path = issue.path.map(String);
  return offsetAt(item, issue.code === "unrecognized_keys" ? [...path, issue.keys[0] ?? ""] : path);
}

function offsetAt(item: Node, path: string[]): number | undefined {
  let node: Node = item;
  let offset = item.range?.[0];
  // `url:` of the short form stands beside `kind`, not under `config`.
  const steps = path[0] === "config" && isMap(item) && !item.has("config") ? path.slice(1) : path;
  for (const step of steps) {
    if (isMap(node)) {
      const pair = node.items.find((p) => String(isScalar(p.key) ? p.key.value : p.key) === step);
      if (!pair) break;
      offset = (pair.key as Node).range?.[0] ?? offset;
      if (pair.value === null) break;
      node = pair.value as Node;
    } else if (isSeq(node)) {
      const next = node.items[Number(step)] as Node | undefined;
      if (!next) break;
      node = next;
      offset = node.range?.[0] ?? offset;
    } else break;
  }
  return offset;
}
