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
