import type { FC } from "hono/jsx";
import { count } from "../../kernel/format";
import type { Target } from "../../watch";
import { Guard } from "../components";
import type { PageContext } from "../context";
import { path } from "./target-parts";

/** Deleting can't be undone: the page says what goes, what stays, and asks for the name. */
export const DeletePage: FC<{ ctx: PageContext; target: Target; incidents: number; problem?: string }> = (p) => {
  const { ctx, target: t, incidents } = p;
  return (
    <div class="form">
      <h1>Delete {t.name}?</h1>
      <p class="lead">
        Reveille stops looking at it at once; its state, settings and beat address go, and an open incident is closed.
        Its {count(incidents)} incidents, their notices and the audit rows stay. This can't be undone.
      </p>
      {p.problem && (
        <p class="box err" role="alert">
          {p.problem}
        </p>
      )}
      <form method="post" action={`${path(t)}/delete`}>
        <Guard ctx={ctx} />
        <div class="field">
          <label for="name">
            Type its name: <code>{t.name}</code>
          </label>
          <input id="name" name="name" required autocomplete="off" spellcheck={false} />
        </div>
        <div class="acts">
          <button type="submit" class="danger">
            Delete
          </button>
          <a href={path(t)} data-up>
            Keep it
          </a>
        </div>
      </form>
    </div>
  );
};
