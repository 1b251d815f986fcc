/**
 * The script of the operator pages, served as a file (the content security policy allows no inline script). Pages read and
 * act without it; it adds keys, the zone toggle, copy buttons, and the 30 s refresh. Plain browser JavaScript.
 */
export const CLIENT_JS = String.raw`"use strict";
(() => {
const $ = (s, r) => (r || document).querySelector(s);
const $$ = (s, r) => [...(r || document).querySelectorAll(s)];
const root = document.documentElement;
const store = (k, v) => { try { if (v === undefined) return localStorage.getItem(k); localStorage.setItem(k, v); } catch { return null; } };
const say = (t) => { const e = $("#say"); if (e) { e.textContent = ""; setTimeout(() => { e.textContent = t; }, 30); } };

// The server's clock: pages of a fast demo run are read in its time, not in the browser's.
let base = Number(root.dataset.now), rate = Number(root.dataset.rate) || 1, loaded = performance.now();
const now = () => base + (performance.now() - loaded) * rate;
// The same words as kernel/format.ts, so that a tick changes the number and nothing else.
const unit = (n, name) => n + "\u202f" + name;
const two = (a, x, b, y) => (b ? unit(a, x) + " " + unit(b, y) : unit(a, x));
const parts = (ms) => { const s = Math.max(0, Math.floor(ms / 1000)); return [s, Math.floor(s / 60), Math.floor(s / 3600), Math.floor(s / 86400)]; };
const span = (ms) => {
  const [s, m, h, d] = parts(ms);
  return d >= 7 ? unit(d, "d") : d ? two(d, "d", h % 24, "h") : h ? two(h, "h", m % 60, "min") : m ? two(m, "min", s % 60, "s") : unit(s, "s");
};
const one = (ms) => { const [s, m, h, d] = parts(ms); return d ? unit(d, "d") : h ? unit(h, "h") : m ? unit(m, "min") : unit(s, "s"); };
const tick = () => {
  for (const e of $$("time[data-rel]")) {
    const at = Date.parse(e.dateTime), gap = now() - at;
    if (Math.abs(gap) > 7 * 864e5) continue;
    if (e.dataset.rel === "for") e.textContent = span(gap);
    else if (e.dataset.rel === "in" && gap >= 0) e.textContent = "due";
    else e.textContent = Math.abs(gap) < 1000 ? "now" : gap < 0 ? "in " + one(-gap) : one(gap) + " ago";
  }
};

// Zone: a cookie, so that the server renders it.
const mine = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const zone = () => {
  const to = root.dataset.zone === "UTC" && mine !== "UTC" ? mine : "UTC";
  document.cookie = "reveille_zone=" + encodeURIComponent(to) + ";path=/;max-age=31536000;samesite=lax";
  location.reload();
};
const dress = (r) => {
  for (const b of $$("[data-script]", r)) b.hidden = false;
  for (const b of $$("[data-zone-button]", r)) b.hidden = mine === "UTC";
};

// Copy.
document.addEventListener("click", async (ev) => {
  const b = ev.target.closest("[data-copy]");
  if (b) {
    const text = b.dataset.copy || $(b.dataset.copyFrom)?.textContent || "", was = b.textContent;
    try { await navigator.clipboard.writeText(text); b.textContent = "Copied"; say("Copied"); }
    catch { b.textContent = "Can't copy here"; }
    setTimeout(() => { b.textContent = was; }, 2000);
  }
  if (ev.target.closest("[data-zone-button]")) zone();
  if (ev.target.closest("[data-sheet]")) sheet();
  if (ev.target.closest("[data-apply]")) apply();
});
// A double click sends a form once; the server would refuse the second one anyway.
document.addEventListener("submit", (ev) => {
  const f = ev.target;
  if (f.method !== "post") return;
  if (f.dataset.sent) ev.preventDefault();
  f.dataset.sent = "1";
  setTimeout(() => { delete f.dataset.sent; }, 3000);
});
const undo = $("[data-undo]");
if (undo) setTimeout(() => { undo.hidden = true; }, 30000);

// Keys.
const GO = { o: "/", i: "/incidents", n: "/inbox", s: "/ui/sessions", w: "/gateways", d: "/deliveries", l: "/slo", b: "/budget", t: "/ui/trust", a: "/audit" };
let prefix = 0, at = -1;
const sheet = () => { const d = $("#keys"); if (d) d.open ? d.close() : d.showModal(); };
const rows = () => $$("[data-row]").filter((e) => e.offsetParent !== null);
const move = (by) => {
  const list = rows();
  if (!list.length) return;
  at = Math.max(0, Math.min(list.length - 1, at + by));
  for (const r of $$(".at")) r.classList.remove("at");
  list[at].classList.add("at");
  list[at].scrollIntoView({ block: "nearest" });
  $("a", list[at])?.focus({ preventScroll: true });
};
const off = $("#keys-off");
if (off) { off.checked = store("reveille.keys") === "off"; off.addEventListener("change", () => store("reveille.keys", off.checked ? "off" : "on")); }
document.addEventListener("keydown", (ev) => {
  alive();
  const t = ev.target;
  if (ev.ctrlKey || ev.metaKey || ev.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName) || t.isContentEditable) {
    if (ev.key === "Escape" && t.blur) t.blur();
    return;
  }
  if (ev.key === "?") return sheet();
  if (off?.checked || $("dialog[open]")) return;
  const k = ev.key;
  if (prefix && Date.now() - prefix < 1500) { prefix = 0; if (GO[k] && $('a[href="' + GO[k] + '"]')) location.href = GO[k]; return; }
  if (k === "g") { prefix = Date.now(); return; }
  if (k === "/") { const f = $("[data-filter]") || $("#find"); if (f) { ev.preventDefault(); f.focus(); f.select(); } return; }
  if (k === "j") return move(1);
  if (k === "k") return move(-1);
  if (k === "u") return zone();
  if (k === "c") { navigator.clipboard?.writeText(location.href).then(() => say("Link copied"), () => {}); return; }
  if (k === "Escape") { const up = $("[data-up]"); if (up) location.href = up.href; return; }
  // A page's own keys: links are followed, reversible acts are pressed, the rest only get the focus.
  const own = $('[data-key="' + CSS.escape(k) + '"]');
  if (!own) return;
  ev.preventDefault();
  if (own.dataset.press !== undefined || own.tagName === "A") own.click(); else own.focus();
});

// Refresh: while visible and used within 15 min, by ETag; an unchanged page costs one store read and a 304.
let etag = root.dataset.etag, last = Date.now(), pending = null, stopped = false;
const paused = $("#paused");
const alive = () => { last = Date.now(); if (stopped) { stopped = false; if (paused) paused.hidden = true; pull(); } };
for (const e of ["pointerdown", "scroll", "touchstart"]) addEventListener(e, alive, { passive: true });
const busy = (el) => el.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT|BUTTON)$/.test(document.activeElement.tagName);
const swap = (old, next) => {
  if (!old || !next || old.outerHTML === next.outerHTML || busy(old)) return;
  const open = $$("details[open][id]", old).map((d) => d.id);
  const held = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  old.replaceWith(next);
  for (const id of open) { const d = document.getElementById(id); if (d) d.open = true; }
  if (held) $('a[href="' + CSS.escape(held) + '"]', next)?.focus({ preventScroll: true });
};
const keyOf = (list) => $$("[data-row]", list).map((r) => r.dataset.row);
const merge = (doc) => {
  let fresh = 0;
  for (const part of $$("[data-live]")) {
    const next = doc.getElementById(part.id);
    if (!next) continue;
    if (!$("[data-row]", part) || !$("[data-row]", next)) { swap(part, document.importNode(next, true)); continue; }
    const have = keyOf(part), want = keyOf(next);
    for (const r of $$("[data-row]", part)) {
      const n = $('[data-row="' + CSS.escape(r.dataset.row) + '"]', next);
      if (n) { const copy = document.importNode(n, true); if (r.classList.contains("at")) copy.classList.add("at"); swap(r, copy); }
    }
    const added = want.filter((k) => !have.includes(k)).length;
    fresh += added || (have.join() !== want.join() ? 1 : 0);
  }
  const bell = $("#bell");
  pending = fresh ? doc : null;
  if (bell) {
    bell.hidden = !fresh;
    const b = $("button", bell), label = fresh + " new";
    if (fresh && b.textContent !== label) { b.textContent = label; say(label); }
  }
};
const apply = () => {
  if (!pending) return;
  for (const part of $$("[data-live]")) { const next = pending.getElementById(part.id); if (next) swap(part, document.importNode(next, true)); }
  pending = null;
  $("#bell").hidden = true;
  after();
};
const after = () => { tick(); dress(document); };
const pull = async () => {
  if (document.hidden || !etag || stopped) return;
  if (Date.now() - last > 900000) { stopped = true; if (paused) paused.hidden = false; return; }
  try {
    const r = await fetch(location.href, { headers: { "if-none-match": etag, accept: "text/html" }, redirect: "manual", cache: "no-store" });
    if (r.status !== 200) return;
    const doc = new DOMParser().parseFromString(await r.text(), "text/html");
    const d = doc.documentElement.dataset;
    if (!d.etag) return;
    etag = d.etag; base = Number(d.now); loaded = performance.now();
    merge(doc);
    after();
  } catch { /* offline: the next round tries again; the age on the page keeps growing */ }
};
setInterval(() => { tick(); pull(); }, 30000);
setInterval(tick, 5000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) { alive(); tick(); pull(); } });
after();
})();
`;
