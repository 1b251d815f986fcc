import type { FC } from "hono/jsx";
import { latency } from "../../kernel/format";
import type { Snapshot } from "../../watch";
import { Chip, Guard } from "../components";
import type { PageContext } from "../context";
import type { NewForm } from "../guess";
import { reasonWord, stateOfStatus } from "../state";

export interface NewTargetData {
  form: NewForm;
  problem: { message: string; hint?: string | undefined } | null;
  look: Snapshot | null;
}

const Result: FC<{ look: Snapshot }> = ({ look }) => (
  <div class="box" role="status">
    <p>
      <Chip state={stateOfStatus(look.status)} /> {look.latency_ms !== null && latency(look.latency_ms)}
      {look.reason !== "ok" && ` ${reasonWord(look.reason)}`}
    </p>
    {look.error && <p>{look.error}</p>}
    {Object.keys(look.details).length > 0 && (
      <dl>
        {Object.entries(look.details).map(([k, v]) => (
          <>
            <dt>{k}</dt>
            <dd>{typeof v === "object" && v !== null ? <code>{JSON.stringify(v)}</code> : String(v)}</dd>
          </>
        ))}
      </dl>
    )}
    <p class="sub">Nothing was saved.</p>
  </div>
);

const KINDS: [NewForm["kind"], string][] = [
  ["http", "HTTP endpoint"],
  ["tcp", "TCP port"],
  ["heartbeat", "Heartbeat: a job that reports in"],
];

/** A new target: guessed from one address, looked at before it is saved. */
export const NewTargetPage: FC<{ ctx: PageContext; data: NewTargetData }> = ({ ctx, data }) => {
  const f = data.form;
  const beat = f.kind === "heartbeat";
  return (
    <div class="form">
      <h1>Watch something</h1>
      {data.problem && (
        <p class="box err" role="alert">
          {data.problem.message}
          {data.problem.hint && (
            <>
              {" "}
              <span class="sub">{data.problem.hint}</span>
            </>
          )}
        </p>
      )}
      {data.look && <Result look={data.look} />}
      <form method="post" action="/ui/new">
        <Guard ctx={ctx} />
        <div class="field">
          <label for="kind">Kind</label>
          <select id="kind" name="kind">
            {KINDS.map(([value, label]) => (
              <option value={value} selected={value === f.kind}>
                {label}
              </option>
            ))}
          </select>
        </div>
        {!beat && (
          <div class="field">
            <label for="address">Address</label>
            <input
              id="address"
              name="address"
              value={f.address}
              required
              maxlength={2000}
              placeholder="https://example.com/health"
              autocomplete="off"
            />
          </div>
        )}
        <div class="field">
          <label for="name">Name</label>
          <input id="name" name="name" value={f.name} required maxlength={80} autocomplete="off" />
        </div>
        {beat ? (
          <div class="row">
            <div class="field">
              <label for="period">Reports every</label>
              <input id="period" name="period" value={f.period} required maxlength={10} />
            </div>
            <div class="field">
              <label for="grace">Late after another</label>
              <input id="grace" name="grace" value={f.grace} required maxlength={10} />
            </div>
            <input type="hidden" name="every" value={f.every} />
          </div>
        ) : (
          <div class="row">
            <div class="field">
              <label for="every">Look every</label>
              <input id="every" name="every" value={f.every} required maxlength={10} />
            </div>
            {f.kind === "http" && (
              <div class="field">
                <label for="keyword">The answer holds (optional)</label>
                <input id="keyword" name="keyword" value={f.keyword} maxlength={500} />
              </div>
            )}
          </div>
        )}
        <div class="acts">
          <button type="submit" class="go" name="do" value="save">
            Watch it
          </button>
          {!beat && (
            <button type="submit" name="do" value="look">
              Look now
            </button>
          )}
          <a href="/" data-up>
            Cancel
          </a>
        </div>
      </form>
      {beat && <p class="sub">Its address to report to is shown once it is saved.</p>}
      {!beat && (
        <p class="sub">
          A job that can't be reached from here? <a href="/ui/new?kind=heartbeat">Let it report in</a>. Vendors (Fly,
          Vercel, Supabase, Sentry, Doppler) and secrets: by API or seed file.
        </p>
      )}
    </div>
  );
};
