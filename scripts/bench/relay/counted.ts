/** What is billed, as `meter.worker.ts` counts it and each bench prices it. */
export const NOTHING = {
  workerRequests: 0,
  /** Calls over stubs, `fetch` included. */
  objectRequests: 0,
  alarms: 0,
  /** Incoming socket messages of objects. */
  messages: 0,
  rowsWritten: 0,
  rowsRead: 0,
  d1Written: 0,
  d1Read: 0,
  /** Messages of queues, each 64 KB of them. */
  queueWrites: 0,
  queueReads: 0,
};

export type Counted = typeof NOTHING;
