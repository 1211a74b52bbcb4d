"""What a page of HTML wears: its style sheet and its script."""

from __future__ import annotations

__all__ = ("SCRIPT", "STYLE")

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1c2330; --soft: #5b6575; --line: #e3e7ee; --hover: #f1f5fb;
  --state: #3b5b92; --done: #1a7f4b; --failed: #c0272d; --cancelled: #96650a;
  --abandoned: #8b36a8; --running: #0f6f9c; --tip: #fff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161d; --ink: #e5e9f0; --soft: #9aa5b5; --line: #2a313d; --hover: #1c2330;
    --state: #7ea2dd; --done: #4cc38a; --failed: #ff7b72; --cancelled: #e3b341;
    --abandoned: #d291ee; --running: #56c2f0; --tip: #1c2330;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 90rem;
  background: var(--paper); color: var(--ink);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p { margin: 0 0 .4rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; align-items: center; }
button {
  font: inherit; color: inherit; background: none; border: 1px solid var(--line);
  border-radius: .4rem; padding: .1rem .6rem; cursor: pointer;
}
button:hover { background: var(--hover); }
.chart { position: relative; margin-top: 1rem; }
.row, .axis, .grid {
  display: grid; column-gap: .75rem;
  grid-template-columns: clamp(5rem, var(--names), 22%) minmax(6rem, 1fr) 4.8rem
    clamp(6rem, var(--notes), min(42%, 100% - 30rem));
}
.axis {
  position: sticky; top: 0; z-index: 2; background: var(--paper); color: var(--soft);
  border-bottom: 1px solid var(--line); height: 1.8rem;
}
.grid { position: absolute; inset: 1.8rem 0 0; pointer-events: none; }
.axis > .track, .grid > .track { grid-column: 2; position: relative; height: 100%; }
.grid i { position: absolute; top: 0; bottom: 0; border-left: 1px dashed var(--line); }
.axis .track { container-type: inline-size; font-size: .8rem; }
/* Labels that would run into each other are left out, by how wide the axis is. */
@container (width < 28rem) { .axis .often { display: none; } }
@container (width < 14rem) { .axis .sometimes { display: none; } }
@container (width < 7rem) { .axis .seldom { display: none; } }
.axis span span { position: absolute; bottom: .15rem; white-space: nowrap; padding-left: .25rem; }
.row { position: relative; z-index: 1; align-items: center; min-height: 1.55rem; cursor: default; }
.row:hover { background: color-mix(in srgb, var(--hover) 75%, transparent); }
.row:focus { outline: 2px solid var(--running); outline-offset: -1px; border-radius: .25rem; }
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; padding-left: .35rem; }
.state .name { font-weight: 600; }
.branch .name { padding-left: 1.6rem; }
.state + .state, .branch + .state { margin-top: .3rem; }
.row .track { position: relative; height: 1rem; }
.took { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.status { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.status .note { color: var(--soft); padding-left: .3rem; }
b {
  position: absolute; top: .25rem; height: .5rem; min-width: 3px; border-radius: 2px;
  background: var(--done); forced-color-adjust: none;
}
.state b { top: .1rem; height: .8rem; }
.state b.done { background: var(--state); }
b.exit { width: .65rem !important; height: .65rem; top: .18rem; rotate: 45deg; translate: -50% 0; }
b.failed { background: var(--failed); }
b.failed::after {
  content: "✗"; position: absolute; left: calc(100% + 1px); top: 50%; translate: 0 -50%;
  font: bold .75rem/1 sans-serif; color: var(--failed);
}
b.left { background: var(--failed); border-right: 3px solid var(--abandoned); }
b.left::after {
  content: "▶"; position: absolute; left: calc(100% + 3px); top: 50%; translate: 0 -50%;
  font: bold .6rem/1 sans-serif; color: var(--abandoned);
}
b.running { background: linear-gradient(90deg, var(--running) 60%, transparent); }
b.cancelled {
  background: repeating-linear-gradient(115deg, var(--cancelled) 0 4px, transparent 4px 7px);
}
b.abandoned {
  border-radius: 0; border-right: 3px solid var(--abandoned);
  background: repeating-linear-gradient(90deg, var(--abandoned) 0 3px, transparent 3px 8px);
}
b.late, b.wait, b.some { background: none; border-radius: 0; height: 0; top: .44rem;
  border-top: 2px dotted var(--cancelled); }
b.late { border-top-color: var(--abandoned); }
b.some { border-top: 3px solid var(--soft); opacity: .6; }
.succeeded { color: var(--done); } .failed { color: var(--failed); }
.cancelled { color: var(--cancelled); } .abandoned { color: var(--abandoned); }
.running { color: var(--running); } .not-started { color: var(--soft); }
.more { display: none; }
.plain .branch { display: none; }
#tip {
  position: fixed; z-index: 3; max-width: min(36rem, calc(100vw - 1rem));
  overflow: auto; padding: .6rem .8rem; background: var(--tip); color: var(--ink);
  border: 1px solid var(--line); border-radius: .5rem; box-shadow: 0 6px 24px #0004;
}
#tip[hidden] { display: none; }
#tip .more { display: block; }
dl { margin: 0; display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; }
.more > strong { display: block; overflow-wrap: anywhere; margin-bottom: .2rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
@media (max-width: 40rem) {
  body { padding: 1rem .6rem 3rem; }
  .row, .axis, .grid {
    grid-template-columns: min(7.5rem, 26%) 1fr 4.2rem 1.2rem; column-gap: .4rem;
  }
  .branch .name { padding-left: .9rem; }
  .word, .status .note { display: none; }
}
"""

SCRIPT = """
"use strict";
const chart = document.querySelector(".chart");
const rows = [...chart.querySelectorAll(".row")];
const tip = document.getElementById("tip");
let shown = null;

function hide() {
  tip.hidden = true;
  tip.style.maxHeight = "";
  if (shown) shown.removeAttribute("aria-describedby");
  shown = null;
}

function show(row, x) {
  if (!row || row === shown) return;
  hide();
  shown = row;
  tip.replaceChildren(row.querySelector(".more").cloneNode(true));
  tip.hidden = false;
  row.setAttribute("aria-describedby", "tip");
  const at = row.getBoundingClientRect();
  const bar = row.querySelector("b") || row;
  const left = Math.min(x ?? bar.getBoundingClientRect().left, innerWidth - tip.offsetWidth - 8);
  const below = innerHeight - at.bottom - 8;
  const above = at.top - 8;
  const isBelow = below >= tip.offsetHeight || below >= above;
  tip.style.maxHeight = Math.max(80, isBelow ? below : above) + "px";
  tip.style.left = Math.max(8, left) + "px";
  tip.style.top = (isBelow ? at.bottom + 4 : Math.max(4, at.top - tip.offsetHeight - 4)) + "px";
}

function focusOn(row) {
  if (!row) return;
  for (const other of rows) other.tabIndex = other === row ? 0 : -1;
  row.focus();
}

rows.forEach((row, number) => {
  row.removeAttribute("title"); // its text is in the tip
  row.tabIndex = number ? -1 : 0;
});
chart.addEventListener("mouseover", event =>
  show(event.target.closest(".row"), event.clientX + 12));
chart.addEventListener("mouseleave", event => { if (event.relatedTarget !== tip) hide(); });
tip.addEventListener("mouseleave", hide);
chart.addEventListener("focusin", event => show(event.target.closest(".row")));
chart.addEventListener("focusout", hide);
addEventListener("scroll", hide, { passive: true });
document.addEventListener("keydown", event => {
  if (event.key === "Escape") return hide();
  const seen = rows.filter(row => row.offsetParent !== null);
  const here = seen.indexOf(document.activeElement);
  if (here < 0) return;
  const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: seen.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  focusOn(seen[to]);
});
const toggle = document.querySelector("button");
toggle.hidden = false;
toggle.addEventListener("click", () => {
  const plain = chart.classList.toggle("plain");
  toggle.setAttribute("aria-pressed", String(plain));
  hide();
  focusOn(rows[0]);
  toggle.focus();
});
"""
