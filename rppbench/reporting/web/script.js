"use strict";
// Static site: sorting, filters, row details and colour scheme. All data is in the page. Names come
// from untrusted plugins and records, so they are only ever set as text, never as HTML.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const { rows: details } = JSON.parse(byId("data").textContent);

function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// --- sorting ------------------------------------------------------------------------------------

const collator = new Intl.Collator("en", { numeric: true });

// The value that a row is sorted by: a text or a number. Without one it is null, which sorts last
// in both directions.
function sortValue(entry, column) {
  const cell = entry.rows[0].cells[column];
  if (cell.classList.contains("name")) return cell.textContent.trim();
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
}

function compare(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  return direction * (typeof a === "string" ? collator.compare(a, b) : a - b);
}

function sort(head) {
  const table = head.closest("table");
  const first = head.dataset.first;
  const other = { ascending: "descending", descending: "ascending" };
  const now = head.getAttribute("aria-sort");
  const next = now === null ? first : other[now];
  for (const cell of all("thead th", table)) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", next);
  const direction = next === "ascending" ? 1 : -1;
  const entries = [...table.tBodies].map((entry) => [sortValue(entry, head.cellIndex), entry]);
  entries.sort(([a], [b]) => compare(a, b, direction));
  table.append(...entries.map(([, entry]) => entry));
}

// --- row details --------------------------------------------------------------------------------

const isNumber = (text) => /^[-+]?[\d.,]+(e[-+]?\d+)?( (s|min.*|h.*|[KMG]?i?B))?$/.test(text);

function detailTable({ title, heads, rows }) {
  const numeric = heads.map((_, i) => rows.every((row) => row[i] === "" || isNumber(row[i])));
  const line = (tag, texts) =>
    element("tr", {}, ...texts.map((text, i) =>
      element(tag, { className: numeric[i] ? "number" : "", textContent: text })));
  const box = element("div", { className: "block", tabIndex: 0 },
    element("table", {},
      element("thead", {}, line("th", heads)),
      element("tbody", {}, ...rows.map((row) => line("td", row)))));
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", title);
  return element("section", { className: "opened" }, element("h3", { textContent: title }), box);
}

function toggle(button) {
  const entry = button.closest("tbody");
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  if (open) {
    entry.rows[1].remove();
    return;
  }
  const panel = element("div", { className: "panel" },
    ...details[Number(entry.dataset.row)].map(detailTable));
  const cell = element("td", { colSpan: entry.rows[0].cells.length }, panel);
  entry.append(element("tr", { className: "detail", id: `opened-${entry.dataset.row}` }, cell));
}

// --- filters ------------------------------------------------------------------------------------

function filter() {
  const wanted = Object.fromEntries(all("select", byId("filters")).map((s) => [s.name, s.value]));
  const matches = (element, name) => !wanted[name] || element.dataset[name] === wanted[name];
  let rows = 0;
  let tables = 0;
  for (const part of all(".table-part")) {
    const shown = matches(part, "task") && matches(part, "backbone");
    let anyVisible = false;
    for (const entry of all("tbody.entry", part)) {
      entry.hidden = !(shown && matches(entry, "recipe"));
      rows += !entry.hidden;
      anyVisible ||= !entry.hidden;
    }
    part.hidden = !anyVisible;
    tables += anyVisible;
  }
  for (const part of all(".by-shots")) {
    part.hidden = !(matches(part, "task") && matches(part, "backbone"));
  }
  const counted = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  const note = wanted.recipe ? "; the best numbers, the ranks and the plots refer to all rows" : "";
  byId("count").textContent = `${counted(rows, "row")} in ${counted(tables, "table")}${note}`;
}

// --- colour scheme ------------------------------------------------------------------------------

const system = matchMedia("(prefers-color-scheme: dark)");

function remembered(value) {
  try { // a browser may deny storage to a page opened from a file
    if (value !== undefined) localStorage.setItem("rppbench-theme", value);
    return localStorage.getItem("rppbench-theme");
  } catch {
    return null;
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}

function showTheme() {
  byId("theme").setAttribute("aria-pressed", String(isDark()));
}

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  remembered(document.documentElement.dataset.theme);
  showTheme();
}

// --- start --------------------------------------------------------------------------------------

const theme = remembered();
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
system.addEventListener("change", showTheme);
byId("theme").addEventListener("click", switchTheme);
byId("filters").addEventListener("change", filter);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
for (const head of all("thead th[data-first]")) {
  head.querySelector("button").addEventListener("click", () => sort(head));
}
for (const button of all("tbody .name button")) {
  button.addEventListener("click", () => toggle(button));
}
for (const hidden of [byId("theme"), byId("filters")]) hidden.hidden = false;
showTheme();
filter();
