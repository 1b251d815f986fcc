import type { Child, FC } from "hono/jsx";
import { Shape, Snippet } from "../components";

/** One field: an address, from which kind, name and schedule are guessed on the next page. */
export const WatchForm: FC<{ url?: string }> = ({ url }) => (
  <form method="get" action="/ui/new">
    <div class="field">
      <label for="watch-url">Address</label>
      <div class="row">
        <input
          id="watch-url"
          name="url"
          inputmode="url"
          placeholder="https://example.com/health"
          value={url}
          required
          maxlength={2000}
          autocomplete="off"
        />
        <button type="submit" class="go">
          Next
        </button>
      </div>
    </div>
  </form>
);

const Card: FC<{ n: number; title: string; done: boolean; children: Child }> = ({ n, title, done, children }) => (
  <li class="card">
    <h2>
      {done ? (
        <span class="chip s-ok">
          <Shape state="ok" />
          Done
        </span>
      ) : (
        `${n}.`
      )}{" "}
      {title}
    </h2>
    {children}
  </li>
);

/** The first minute (operator-experience §5): what to do when nothing is watched. Ticks come from data, so they survive. */
export const FirstSteps: FC<{ told: boolean; connected: boolean }> = ({ told, connected }) => (
  <>
    <ul class="cards">
      <Card n={1} title="Watch something" done={false}>
        <p>A URL, a port, or a job that reports in. You can look before you save.</p>
        <WatchForm />
        <p class="sub">
          <a href="/ui/new?kind=heartbeat">A job that reports in (heartbeat)</a>
        </p>
      </Card>
      <Card n={2} title="Get told" done={told}>
        <p>
          The <a href="/inbox">inbox</a> works already. For Slack set these, locally as lines in <code>.dev.vars</code>:
        </p>
        <Snippet id="told-slack" label="Slack" text={"REVEILLE_SLACK_BOT_TOKEN=xoxb-…\nREVEILLE_SLACK_CHANNEL=C0…"} />
      </Card>
      <Card n={3} title="Connect a chat platform and a gateway" done={connected}>
        <p>
          See it without an account: <code>npm run send -- slack message</code>. Then <a href="/platforms">platforms</a>{" "}
          says what to enter where, and <a href="/gateways">gateways</a> gives the lines for your gateway.
        </p>
      </Card>
      <Card n={4} title="Connect an agent" done={false}>
        <p>
          An agent announces itself at <code>/ws/announce</code> and stands on the <a href="/ui/agents">agents</a> page.
          Who may talk to it: <a href="/ui/trust">trust</a>.
        </p>
      </Card>
    </ul>
    <p>
      Or see it all happen: <code>npm run demo</code>
    </p>
  </>
);
