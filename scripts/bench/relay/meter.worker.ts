import type { EdgeEnv } from "../../../src/edge/env";
import { type Counted, NOTHING } from "./counted";

/**
 * A meter on everything that is billed: requests and calls to objects where they are made, alarms and socket messages where they
 * arrive, rows where storage writes them, D1 by its own `meta`, messages of queues where they are sent and where they arrive.
 * One process has one isolate of a Worker, so a module's variable is shared by all of its objects.
 */

export const counted: Counted = { ...NOTHING };

type Method = (this: unknown, ...args: unknown[]) => unknown;

/** Wraps a method of a prototype, once. */
function wrap(prototype: object, name: string, around: (real: Method) => Method): void {
  const real = Reflect.get(prototype, name) as Method | undefined;
  if (real) Object.defineProperty(prototype, name, { value: around(real), configurable: true, writable: true });
}

/** Runs before the call, so that one which throws is counted too. */
const before =
  (count: () => void) =>
  (real: Method): Method =>
    function (this: unknown, ...args) {
      count();
      return real.apply(this, args);
    };

let storageMetered = false;

/** Statements' own counts are complete only when they have been read: they are kept until somebody asks. */
let cursors: { rowsWritten: number; rowsRead: number }[] = [];

/** Adds what statements have counted since. Before `counted` is read. */
export function settle(): void {
  for (const cursor of cursors) {
    counted.rowsWritten += cursor.rowsWritten;
    counted.rowsRead += cursor.rowsRead;
  }
  cursors = [];
}

/** A key-value pair is a row, its removal too; so is every alarm that is set or taken back (platform spec §6). */
function meterStorage(storage: DurableObjectStorage): void {
  if (storageMetered) return;
  storageMetered = true;
  const written = before(() => void counted.rowsWritten++);
  wrap(Object.getPrototypeOf(storage.kv) as object, "put", written);
  wrap(Object.getPrototypeOf(storage.kv) as object, "delete", written);
  wrap(
    Object.getPrototypeOf(storage.kv) as object,
    "get",
    before(() => void counted.rowsRead++),
  );
  const whole = Object.getPrototypeOf(storage) as object;
  for (const name of ["setAlarm", "deleteAlarm", "deleteAll", "put", "delete"]) wrap(whole, name, written);
  wrap(
    Object.getPrototypeOf(storage.sql) as object,
    "exec",
    (real) =>
      function (this: unknown, ...args) {
        const cursor = real.apply(this, args) as SqlStorageCursor<Record<string, SqlStorageValue>>;
        cursors.push(cursor);
        if (cursors.length > 5_000) settle();
        return cursor;
      },
  );
}

const isNamespace = (value: unknown): value is DurableObjectNamespace =>
  typeof value === "object" && value !== null && value.constructor.name === "DurableObjectNamespace";

/** Every call over a stub, `fetch` included, is one request of the object called. */
function meterNamespace(namespace: DurableObjectNamespace): DurableObjectNamespace {
  return new Proxy(namespace, {
    get(target, key) {
      if (key !== "get") return bound(target, key);
      return (...args: Parameters<DurableObjectNamespace["get"]>) =>
        new Proxy(target.get(...args), {
          get: (stub, method) => {
            const real = Reflect.get(stub, method, stub) as unknown;
            if (typeof real !== "function") return real;
            return (...given: unknown[]) => {
              counted.objectRequests++;
              return (stub as unknown as Record<PropertyKey, (...a: unknown[]) => unknown>)[method]!(...given);
            };
          },
        });
    },
  });
}

const bound = (target: object, key: PropertyKey): unknown => {
  const value = Reflect.get(target, key, target) as unknown;
  return typeof value === "function" ? (value.bind(target) as unknown) : value;
};

const statements = new WeakMap<object, D1PreparedStatement>();

function meterResult<T extends { meta: unknown }>(result: T): T {
  const { rows_written, rows_read } = result.meta as { rows_written?: number; rows_read?: number };
  counted.d1Written += rows_written ?? 0;
  counted.d1Read += rows_read ?? 0;
  return result;
}

function meterStatement(real: D1PreparedStatement): D1PreparedStatement {
  const proxy = new Proxy(real, {
    get(target, key) {
      if (key === "bind") return (...values: unknown[]) => meterStatement(target.bind(...values));
      if (key === "run" || key === "all") return async () => meterResult(await target.all());
      if (key === "first")
        return async (column?: string) => {
          const row = meterResult(await target.all<Record<string, unknown>>()).results[0];
          return row === undefined ? null : column === undefined ? row : row[column];
        };
      return bound(target, key);
    },
  });
  statements.set(proxy, real);
  return proxy;
}

function meterDatabase(db: D1Database): D1Database {
  return new Proxy(db, {
    get(target, key) {
      if (key === "prepare") return (sql: string) => meterStatement(target.prepare(sql));
      if (key === "batch")
        return async (batch: D1PreparedStatement[]) =>
          (await target.batch(batch.map((s) => statements.get(s) ?? s))).map(meterResult);
      return bound(target, key);
    },
  });
}

/** Queues bill each 64 KB of a message (pricing page: 1,000 bytes a KB, about 100 of its own). */
const piecesOf = (body: unknown): number =>
  Math.ceil((new TextEncoder().encode(JSON.stringify(body)).length + 100) / 64_000);

function meterQueue(queue: Queue<unknown>): Queue<unknown> {
  return new Proxy(queue, {
    get(target, key) {
      if (key === "send")
        return (...args: Parameters<Queue["send"]>) => {
          counted.queueWrites += piecesOf(args[0]);
          return target.send(...args);
        };
      if (key === "sendBatch")
        return (messages: Iterable<MessageSendRequest<unknown>>, ...more: [QueueSendBatchOptions?]) => {
          const all = [...messages];
          for (const { body } of all) counted.queueWrites += piecesOf(body);
          return target.sendBatch(all, ...more);
        };
      return bound(target, key);
    },
  });
}

/** A batch that a queue hands over: one invocation, and each message is read. */
export function meterBatch(batch: MessageBatch<unknown>): void {
  counted.workerRequests++;
  for (const { body } of batch.messages) counted.queueReads += piecesOf(body);
}

const environments = new WeakMap<object, object>();

function meterBinding(name: string, value: unknown): unknown {
  if (name === "DB") return meterDatabase(value as D1Database);
  if (name.endsWith("_QUEUE")) return meterQueue(value as Queue<unknown>);
  return isNamespace(value) ? meterNamespace(value) : value;
}

/** The same bindings, counted. */
export function meterEnv<E extends object>(env: E): E {
  const known = environments.get(env);
  if (known) return known as E;
  const made = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, meterBinding(name, value)]));
  environments.set(env, made);
  return made as E;
}

type ObjectClass = new (ctx: DurableObjectState, env: EdgeEnv) => object;

/** A class of objects, counted. */
export function meterObject<T extends ObjectClass>(Real: T): T {
  const Base = Real as ObjectClass;
  class Metered extends Base {
    constructor(ctx: DurableObjectState, env: EdgeEnv) {
      meterStorage(ctx.storage);
      super(ctx, meterEnv(env));
    }
  }
  // Only the runtime calls these two.
  wrap(
    Metered.prototype,
    "alarm",
    before(() => void counted.alarms++),
  );
  wrap(
    Metered.prototype,
    "webSocketMessage",
    before(() => void counted.messages++),
  );
  return Metered as unknown as T;
}
