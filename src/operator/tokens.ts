/** The design tokens (operator-experience §3), light and dark. A unit test reads this text and recomputes every contrast. */

const LIGHT = `
  --font: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; --mono: ui-monospace, Menlo, Consolas, "Liberation Mono", monospace;
  --fs-0:.75rem; --fs-1:.8125rem; --fs-2:.9375rem; --fs-3:1.125rem; --fs-4:1.5rem; --fs-5:2rem; --lh:1.5; --lh-tight:1.25;
  --s1:4px; --s2:8px; --s3:12px; --s4:16px; --s5:24px; --s6:32px; --s7:48px; --r1:3px; --r2:6px; --r3:10px;
  --row:36px; --row-compact:28px; --tap:44px; --page:1200px; --measure:72ch;
  --bg:#f7f8fa; --surface:#ffffff; --sunken:#eef0f4; --text:#16191f; --muted:#545b69; --line:#d5d9e0; --control:#7f8796; --accent:#1d5fc4; --on-accent:#ffffff;
  --ok:#0b6b57; --ok-bg:#dff3ec; --ok-fill:#12896e;                   --degraded:#7d4a00; --degraded-bg:#fdeecb; --degraded-fill:#c98500;
  --down:#a8152f; --down-bg:#fde3e6; --down-fill:#b5142f;             --unknown:#505866; --unknown-bg:#e8eaef; --unknown-fill:#8a92a1;
  --maint:#5b3fb5; --maint-bg:#ebe6fb; --maint-fill:#6d3fd6;`;

const DARK = `
  --bg:#0f1217; --surface:#171b22; --sunken:#0b0d11; --text:#e6e9ef; --muted:#a2abba; --line:#2b313c; --control:#6f7989; --accent:#7db0ff; --on-accent:#0b1220;
  --ok:#57d3b0; --ok-bg:#0f2b25; --ok-fill:#3cc7a2;                   --degraded:#f2c14e; --degraded-bg:#332708; --degraded-fill:#e3ad2b;
  --down:#ff8a94; --down-bg:#3a141b; --down-fill:#ee4a60;             --unknown:#b0b8c6; --unknown-bg:#232935; --unknown-fill:#687182;
  --maint:#b9a4ff; --maint-bg:#251e45; --maint-fill:#a78fff;`;

export const TOKENS = `:root { color-scheme: light dark;${LIGHT} }
:root[data-theme=light] { color-scheme: light; }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) {${DARK} } }
:root[data-theme=dark] { color-scheme: dark;${DARK} }
`;
