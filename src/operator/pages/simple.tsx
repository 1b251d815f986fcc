import type { FC } from "hono/jsx";

/** Sign in with a single-use code. */
export const LoginPage: FC<{ problem?: string | null; next?: string | null }> = ({ problem, next }) => (
  <div class="form">
    <h1>Sign in</h1>
    <p class="lead">
      With a single-use code. Print one with <code>npm run link</code>.
    </p>
    {problem && (
      <p class="box err" role="alert">
        {problem}
      </p>
    )}
    <form method="post" action="/login">
      {next && <input type="hidden" name="next" value={next} />}
      <div class="field">
        <label for="code">Code</label>
        <div class="row">
          <input
            id="code"
            name="code"
            required
            maxlength={20}
            autocomplete="one-time-code"
            autocapitalize="characters"
            spellcheck={false}
            placeholder="XXXX-XXXX"
          />
          <button type="submit" class="go">
            Sign in
          </button>
        </div>
      </div>
    </form>
  </div>
);

/** Nothing here: says what was looked for and where to search. */
export const NotFoundPage: FC<{ what?: string; id?: string }> = ({ what, id }) => (
  <>
    <h1>{what && id ? `No ${what} ${id}.` : "No such page."}</h1>
    <p class="lead">
      {what && id ? (
        <>
          Check the id, or <a href={`/audit?q=${encodeURIComponent(id)}`}>search it in Audit</a>.
        </>
      ) : (
        <>
          Check the address, or start at the <a href="/">overview</a>.
        </>
      )}
    </p>
  </>
);

/** An act that was refused or failed, when there is no page to go back to. */
export const ProblemPage: FC<{ title: string; text: string; back: string }> = ({ title, text, back }) => (
  <>
    <h1>{title}</h1>
    <p class="lead">{text}</p>
    <p>
      <a href={back} data-up>
        Back
      </a>
    </p>
  </>
);
