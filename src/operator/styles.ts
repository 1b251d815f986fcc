import { TOKENS } from "./tokens";

/** Page frame: top bar, banners, flash, headings, sections. */
const FRAME = `
*,*::before,*::after{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--text);font:var(--fs-2)/var(--lh) var(--font);overflow-wrap:anywhere}
a{color:var(--accent);text-underline-offset:2px}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:var(--r1)}
h1{font-size:var(--fs-4);line-height:var(--lh-tight);margin:0;font-weight:600;letter-spacing:-.01em}
h2{font-size:var(--fs-3);line-height:var(--lh-tight);margin:0 0 var(--s3);font-weight:600}
h3{font-size:var(--fs-2);margin:0 0 var(--s2);font-weight:600}
p{margin:0 0 var(--s3);max-width:var(--measure)}
code,kbd,pre,.id{font-family:var(--mono);font-size:.92em}
pre{margin:0;padding:var(--s3);background:var(--sunken);border-radius:var(--r2);overflow:auto;white-space:pre-wrap}
kbd{padding:1px 6px;border:1px solid var(--control);border-radius:var(--r1);background:var(--surface)}
[hidden]{display:none!important}
.skip{position:absolute;left:-999px}
.skip:focus{left:var(--s3);top:var(--s2);z-index:9;background:var(--surface);padding:var(--s2) var(--s3)}
.vh{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.muted,.sub{color:var(--muted)}.sub{font-size:var(--fs-1)}
.num{font-variant-numeric:tabular-nums;white-space:nowrap}
.top{background:var(--surface);border-bottom:1px solid var(--line)}
.top>div{max-width:var(--page);margin:auto;padding:0 var(--s4);display:flex;align-items:center;gap:var(--s4);min-height:48px}
.brand{font-weight:700;color:var(--text);text-decoration:none;letter-spacing:-.02em}
.top nav{display:flex;align-items:center;gap:2px;flex:1;min-width:0}
.top nav a,.more summary{padding:6px 10px;border-radius:var(--r2);color:var(--muted);text-decoration:none;white-space:nowrap;cursor:pointer}
.top nav a:hover,.more summary:hover{background:var(--sunken);color:var(--text)}
.top nav [aria-current]{color:var(--text);font-weight:600;box-shadow:inset 0 -2px var(--accent);border-radius:var(--r2) var(--r2) 0 0}
.n{display:inline-block;min-width:20px;padding:0 6px;border-radius:10px;background:var(--sunken);color:var(--text);font-size:var(--fs-0);text-align:center;font-variant-numeric:tabular-nums}
.more{position:relative}.more summary{list-style:none}.more summary::-webkit-details-marker{display:none}
.more[open]>div{position:absolute;z-index:5;top:100%;left:0;min-width:180px;padding:var(--s2);background:var(--surface);border:1px solid var(--line);border-radius:var(--r2);display:grid;box-shadow:0 6px 20px #0003}
.tools{display:flex;align-items:center;gap:var(--s3);color:var(--muted);font-size:var(--fs-1);white-space:nowrap}
.tools input{width:150px}
main{max-width:var(--page);margin:auto;padding:var(--s5) var(--s4) var(--s7)}
main:focus{outline:0}
.head{display:flex;flex-wrap:wrap;align-items:center;gap:var(--s2) var(--s4);margin-bottom:var(--s4)}
.head>:first-child{flex:1 1 320px;min-width:0}
.lead{color:var(--muted);margin:var(--s1) 0 0}
section{margin:0 0 var(--s5)}
.card,.box{background:var(--surface);border:1px solid var(--line);border-radius:var(--r3);padding:var(--s4)}
.cards{display:grid;gap:var(--s3);grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));margin:0 0 var(--s4);padding:0;list-style:none}
.tiles{display:flex;flex-wrap:wrap;gap:var(--s3);margin:0 0 var(--s4);padding:0;list-style:none}
.tiles a{display:block;padding:var(--s3) var(--s4);background:var(--surface);border:1px solid var(--line);border-radius:var(--r2);color:var(--text);text-decoration:none}
.tiles a:hover{border-color:var(--control)}
.tiles b{font-size:var(--fs-3);margin-right:6px}
.band{padding:var(--s2) var(--s4);border-bottom:1px solid var(--line);background:var(--unknown-bg);color:var(--unknown)}
.band>div,.flash{max-width:calc(var(--page) - 2*var(--s4));margin:auto;display:flex;flex-wrap:wrap;align-items:center;gap:var(--s2) var(--s3)}
.band.held{background:var(--degraded-bg);color:var(--degraded)}
.band a,.band button{color:inherit}
.flash{margin:var(--s4) auto 0;width:calc(100% - 2*var(--s4));max-width:calc(var(--page) - 2*var(--s4));padding:var(--s2) var(--s4);border:1px solid var(--control);border-left:4px solid var(--ok-fill);background:var(--surface);border-radius:var(--r2)}
.flash.bad{border-left-color:var(--down-fill)}
.err{border-left:4px solid var(--down-fill)}
.cols{display:grid;gap:0 var(--s5);grid-template-columns:minmax(0,1fr)}
@media(min-width:960px){.cols{grid-template-columns:minmax(0,1fr) 320px}.cols>.side{grid-column:2;grid-row:1/span 9}.cols>.main{grid-column:1}}
`;

/** Controls, state chips, tables, charts. */
const PARTS = `
button,.btn,input,select,textarea{font:inherit;color:inherit}
button,.btn{display:inline-flex;align-items:center;justify-content:center;min-height:32px;padding:4px 12px;border:1px solid var(--control);border-radius:var(--r2);background:var(--surface);color:var(--text);text-decoration:none;cursor:pointer;white-space:nowrap}
button:hover,.btn:hover{background:var(--sunken)}
.go{background:var(--accent);border-color:var(--accent);color:var(--on-accent);font-weight:600}
.go:hover{background:var(--accent);text-decoration:underline}
.danger{border-color:var(--down-fill);color:var(--down)}
.plain{border-color:transparent;background:none;text-decoration:underline;padding:4px 6px}
.acts{display:flex;flex-wrap:wrap;gap:var(--s2);align-items:center}
.acts form{display:contents}
input,select,textarea{min-height:32px;padding:4px 8px;border:1px solid var(--control);border-radius:var(--r2);background:var(--surface);max-width:100%}
input[type=checkbox],input[type=radio]{min-height:0;width:18px;height:18px;margin:0 6px 0 0;vertical-align:-3px;accent-color:var(--accent)}.btn[aria-current]{border-color:var(--accent);box-shadow:inset 0 0 0 1px var(--accent)}
.field{display:grid;gap:4px;margin:0 0 var(--s3);min-width:0}.field>label,legend{font-weight:600;font-size:var(--fs-1)}fieldset{border:1px solid var(--line);border-radius:var(--r2);padding:var(--s2) var(--s3) var(--s3)}fieldset>label{font-weight:400!important;margin-top:4px}
.form{max-width:560px}.form>h1{margin-bottom:var(--s3)}.form form,.form .box{margin-bottom:var(--s3)}.row{display:flex;flex-wrap:wrap;gap:var(--s2)}.row>input{flex:1 1 200px;min-width:0}
.chip{display:inline-flex;align-items:center;gap:6px;padding:1px 8px 1px 6px;border:1px solid transparent;border-radius:var(--r2);font-weight:600;font-size:var(--fs-1);white-space:nowrap}
.chip svg{width:12px;height:12px;flex:none}.mod{font-size:var(--fs-1);color:var(--muted)}
.s-ok{color:var(--ok);background:var(--ok-bg)}.s-degraded{color:var(--degraded);background:var(--degraded-bg)}.s-down{color:var(--down);background:var(--down-bg)}.s-unknown{color:var(--unknown);background:var(--unknown-bg)}.s-maintenance{color:var(--maint);background:var(--maint-bg)}
.f-ok{fill:var(--ok-fill)}.f-degraded{fill:var(--degraded-fill)}.f-down{fill:var(--down-fill)}.f-maintenance{fill:var(--maint-fill)}
.f-unknown{fill:none;stroke:var(--unknown-fill);stroke-width:1}.f-ring{fill:none;stroke:var(--unknown);stroke-width:1.6;stroke-dasharray:2.2 1.8}.f-cross{stroke:var(--down-bg);stroke-width:1.6;fill:none}
.st-maint{stroke:var(--maint-fill);stroke-width:2}.st-unknown{stroke:var(--unknown-fill);stroke-width:1.5}.st-line{stroke:var(--maint-fill);stroke-width:.5;fill:none}
table{border-collapse:collapse;width:100%;background:var(--surface)}
.wrap{border:1px solid var(--line);border-radius:var(--r3);background:var(--surface)}
.wrap table,.wrap thead th:first-child{border-top-left-radius:var(--r3)}.wrap table,.wrap thead th:last-child{border-top-right-radius:var(--r3)}.wrap table{border-radius:var(--r3)}
caption{text-align:left;padding:var(--s2) var(--s3)}
th,td{text-align:left;padding:6px var(--s3);vertical-align:middle;border-top:1px solid var(--line)}
thead th{border-top:0;font-size:var(--fs-1);font-weight:600;color:var(--muted);white-space:nowrap}
tbody th{font-weight:400}
.r{text-align:right}.right,td.num{text-align:right}
.long thead th{position:sticky;top:0;background:var(--surface);z-index:1;box-shadow:0 1px var(--line)}
tbody tr:hover{background:var(--sunken)}tr.at{box-shadow:inset 3px 0 var(--accent)}
h1,.lead,.name,.quote,td,dd,.tl b{unicode-bidi:isolate}.name{font-weight:600;color:var(--text);text-decoration:none}.name:hover{text-decoration:underline}
.two>tbody>tr{height:54px}.two span.sub{display:block}.st{min-width:210px}.one{max-width:0;width:42%}.one summary{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.nw{white-space:nowrap}
.compact td,.compact th{padding-block:2px}.compact tbody tr{height:var(--row-compact)}.compact th>span.sub{display:inline;margin-left:8px}
svg.bar{width:180px;height:28px;display:block}svg.spark{width:120px;height:28px;vertical-align:middle}
.spark path{fill:none;stroke:var(--accent);stroke-width:1.5}
.wide svg.bar{width:100%;max-width:720px;height:40px}.ends{display:flex;justify-content:space-between;max-width:720px}
.chart{margin:0;display:grid;grid-template-columns:auto minmax(0,1fr);gap:2px var(--s2)}
.chart svg{grid-column:2;width:100%;height:220px;display:block;background:var(--surface)}
.chart .y{grid-row:1;display:flex;flex-direction:column;justify-content:space-between;height:208px;text-align:right}
.chart .x{grid-column:2;display:flex;justify-content:space-between}
.chart .grid{stroke:var(--line);stroke-width:1;fill:none}.chart .p50{stroke:var(--accent);stroke-width:2;fill:none}.chart .p95{stroke:var(--accent);stroke-width:1;fill:none}.chart .area{fill:var(--accent);fill-opacity:.2}.chart .max{stroke:var(--accent);stroke-width:4;stroke-linecap:round;fill:none}
.chart .inc{fill:var(--down-bg)}.chart .mnt{fill:url(#stripe)}
.chart .pace{stroke:var(--control);stroke-width:1;stroke-dasharray:6 4;fill:none}.chart .proj{stroke:var(--accent);stroke-width:2;stroke-dasharray:1 4;stroke-linecap:round;fill:none}
.wide svg.pool{width:100%;max-width:720px;height:40px;display:block}.b-pool{fill:var(--sunken);stroke:var(--control)}.b-spent{fill:var(--accent)}.b-reserved{fill:url(#hatch)}.b-rung{stroke:var(--text);stroke-width:1.5;fill:none}
.chart details,.chart figcaption{grid-column:1/-1}
.box+.wrap,.err+.box,.wrap+:is(h3,.acts){margin-top:var(--s3)}
dl{display:grid;grid-template-columns:auto minmax(0,1fr);gap:4px var(--s4);margin:0}dt{color:var(--muted)}dd{margin:0}
.tabs{display:flex;flex-wrap:wrap;gap:2px;margin:0 0 var(--s3);border-bottom:1px solid var(--line);padding:0;list-style:none}
.tabs a{display:block;padding:6px 12px;color:var(--muted);text-decoration:none;border-radius:var(--r2) var(--r2) 0 0}
.tabs a[aria-current]{color:var(--text);font-weight:600;box-shadow:inset 0 -2px var(--accent)}
.tl{list-style:none;margin:0;padding:0}.tl>li{display:grid;grid-template-columns:132px 16px minmax(0,1fr);gap:0 var(--s2);padding:6px 0;border-top:1px solid var(--line)}
.tl>li:first-child{border-top:0}.tl svg{width:12px;height:12px;margin-top:6px}.tl .gap{color:var(--muted);font-size:var(--fs-1)}.tl .dot{fill:var(--control)}.tl li:target{background:var(--degraded-bg)}
.quote{font-family:var(--mono);font-size:var(--fs-1);background:var(--sunken);border-radius:var(--r1);padding:0 4px}
details>summary{cursor:pointer}summary{border-radius:var(--r1)}
.chips{display:flex;flex-wrap:wrap;gap:var(--s2);margin:0 0 var(--s3)}
.fold,.foldbox{display:none}
dialog{border:1px solid var(--control);border-radius:var(--r3);background:var(--surface);color:var(--text);padding:var(--s5);max-width:min(560px,92vw)}
dialog::backdrop{background:#0008}
.keys{display:grid;grid-template-columns:auto 1fr;gap:6px var(--s4);margin:var(--s3) 0}
.bell{position:sticky;top:var(--s2);z-index:3;display:flex;justify-content:center}
`;

/** Phones, touch, forced colours, less motion. */
const FIT = `
@media(pointer:coarse),(max-width:719px){button,.btn,input:not([type=checkbox],[type=radio]),select,textarea,.top nav a,.more summary,.tabs a{min-height:var(--tap)}.top nav a,.more summary,.tabs a{display:flex;align-items:center}input[type=checkbox],input[type=radio]{width:24px;height:24px}a.name,td a,dd a,.pager a{display:inline-block;min-height:24px}}
@media(max-width:1000px){.tools input{width:110px}.tools .zone{display:none}}
@media(max-width:719px){
.top>div{flex-wrap:wrap;padding:var(--s2) var(--s4) 0;gap:0 var(--s3)}.top nav{order:3;flex:1 0 100%;overflow-x:auto;margin:0 calc(-1*var(--s4));padding:0 var(--s3)}
.tools{margin-left:auto}.tools .looked{font-size:var(--fs-0)}
.more[open]>div{position:fixed;top:104px;left:var(--s3);right:var(--s3)}
main{padding:var(--s4) var(--s4) 96px}h1{font-size:1.25rem}
table.t,.t>tbody,.t>tbody>tr,.t>tbody>tr>*{display:block;width:100%}.t>thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
.t>tbody>tr{padding:var(--s3);border-top:1px solid var(--line);height:auto!important;display:flex;flex-wrap:wrap;gap:2px var(--s3);align-items:center;content-visibility:auto;contain-intrinsic-size:auto 120px}
.t>tbody>tr:first-child{border-top:0}.t>tbody>tr>*{width:auto;border:0;padding:0!important;text-align:left}.t>tbody>tr>th:first-child{flex:1 1 50%;min-width:0}
.t .hide{display:none!important}.t .full{flex:1 0 100%}.t .full svg.bar{width:100%}
.fold{display:inline-flex;align-items:center;min-height:var(--tap);margin-bottom:var(--s2)}.foldbox{display:inline-block}
.foldbox:not(:checked)~.wrap tbody.fine{display:none}
.stick{position:fixed;z-index:4;left:0;right:0;bottom:0;padding:var(--s2) var(--s4);background:var(--surface);border-top:1px solid var(--line)}.stick>*,.stick button{flex:1}
.tl>li{grid-template-columns:70px 14px minmax(0,1fr)}.tl>li>.num .sub{display:block}
.nw{white-space:normal}.one{max-width:none!important}}
@media(forced-colors:active){.chip,.n,.tiles a{border:1px solid}.top nav a[aria-current],.tabs a[aria-current]{outline:2px solid}svg{forced-color-adjust:none}}
@media(prefers-reduced-motion:reduce){*{scroll-behavior:auto!important;transition:none!important}}
`;

/** The one style sheet of the operator pages. */
export const CSS = (TOKENS + FRAME + PARTS + FIT).replace(/\n+/g, "\n");
