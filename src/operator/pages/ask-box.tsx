import type { FC } from "hono/jsx";
import { type Answer, type AskRow, MAX_QUESTION, signature } from "../../reason";
import { Guard, Section, Time } from "../components";
import type { PageContext, Part } from "../context";

const DOOR: Record<AskRow["source"], string> = {
  inbox: "asked here",
  slack_dm: "asked in Slack",
  email: "asked by mail",
  api: "asked by API",
  run: "asked by a task",
};

/** What became of the answer's way back, where there is one. */
function wayBack(a: AskRow): string {
  if (a.thread === null || a.answered_at === null) return "";
  if (a.sent_at !== null) return " · answer sent";
  return a.send_error === null ? " · answer on its way" : ` · answer not sent: ${a.send_error}`;
}

const Said: FC<{ ctx: PageContext; answer: Answer }> = ({ ctx, answer }) => (
  <div>
    {answer.text.split("\n").map((line) => (
      <div>{line}</div>
    ))}
    <div class="sub">
      {signature(answer, ctx.now)}
      {answer.dropped > 0 &&
        ` · ${answer.dropped} ${answer.dropped === 1 ? "citation" : "citations"} dropped: no such row`}
      {answer.cites.length > 0 && " · from "}
      {answer.cites.map((c, i) => (
        <>
          {i > 0 && ", "}
          <a href={c.path}>{c.label}</a>
        </>
      ))}
    </div>
  </div>
);

const Asked: FC<{ ctx: PageContext; a: AskRow }> = ({ ctx, a }) => (
  <li id={`ask-${a.id}`}>
    <span class="num sub">
      <Time ctx={ctx} at={a.created_at} />
    </span>
    <svg viewBox="0 0 12 12" aria-hidden="true">
      <circle class="dot" cx="6" cy="6" r={a.answered_at === null ? "4" : "2"} />
    </svg>
    <div>
      <b>{a.question}</b>
      {a.answer === null ? (
        <div class="sub">Being answered. The answer appears here.</div>
      ) : (
        <Said ctx={ctx} answer={JSON.parse(a.answer) as Answer} />
      )}
      <div class="sub">
        {DOOR[a.source]}
        {wayBack(a)}
      </div>
    </div>
  </li>
);

/** The ask box and the newest questions, from whichever door they came. */
export const AskBox: FC<{ ctx: PageContext; part: Part<AskRow[]> }> = ({ ctx, part }) => (
  <>
    <form method="post" action="/inbox/ask" class="box" aria-label="Ask Reveille">
      <Guard ctx={ctx} />
      <div class="field">
        <label for="question">Ask Reveille</label>
        <textarea
          id="question"
          name="question"
          rows={2}
          maxlength={MAX_QUESTION}
          required
          placeholder="Is anything down?"
        />
      </div>
      <div class="acts">
        <button type="submit">Ask</button>
        <span class="sub">It only reads. The answer says whether rules or a model gave it.</span>
      </div>
    </form>
    <Section ctx={ctx} part={part} title="Questions" id="asks">
      {(asks) =>
        asks.length === 0 ? (
          <p class="box">No question yet.</p>
        ) : (
          <ol class="tl box">
            {asks.map((a) => (
              <Asked ctx={ctx} a={a} />
            ))}
          </ol>
        )
      }
    </Section>
  </>
);
