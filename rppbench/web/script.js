"use strict";
// Sorts, filters and opens the tables that the page already holds. Names come from anyone's plugins
// and records: text enters the page as text only.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const { rows: opened } = JSON.parse(byId("data").textContent);

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// --- sorting ------------------------------------------------------------------------------------

const collator = new Intl.Collator("en", { numeric: true });

// What a row is sorted by: a number where there is one; nothing (null) is last either way.
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
  for (const one of all("thead th", table)) one.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", next);
  const direction = next === "ascending" ? 1 : -1;
  const entries = [...table.tBodies].map((entry) => [sortValue(entry, head.cellIndex), entry]);
  entries.sort(([a], [b]) => compare(a, b, direction));
  table.append(...entries.map(([, entry]) => entry));
}

// --- opening a row ------------------------------------------------------------------------------

const isNumber = (text) => /^[-+]?[\d.,]+(e[-+]?\d+)?( (s|min.*|h.*|[KMG]?i?B))?$/.test(text);

function block({ title, heads, rows }) {
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
    ...opened[Number(entry.dataset.row)].map(block));
  const cell = element("td", { colSpan: entry.rows[0].cells.length }, panel);
  entry.append(element("tr", { className: "detail", id: `opened-${entry.dataset.row}` }, cell));
}

// --- filters ------------------------------------------------------------------------------------

function filter() {
  const wanted = Object.fromEntries(all("select", byId("filters")).map((s) => [s.name, s.value]));
  const fits = (element, name) => !wanted[name] || element.dataset[name] === wanted[name];
  let rows = 0;
  let tables = 0;
  for (const part of all(".table-part")) {
    const shown = fits(part, "task") && fits(part, "backbone");
    let some = false;
    for (const entry of all("tbody.entry", part)) {
      entry.hidden = !(shown && fits(entry, "recipe"));
      rows += !entry.hidden;
      some ||= !entry.hidden;
    }
    part.hidden = !some;
    tables += some;
  }
  for (const part of all(".by-shots")) {
    part.hidden = !(fits(part, "task") && fits(part, "backbone"));
  }
  const counted = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  const note = wanted.recipe ? "; best numbers, ranks and plots are of all rows" : "";
  byId("count").textContent = `${counted(rows, "row")} in ${counted(tables, "table")}${note}`;
}

// --- light and dark -----------------------------------------------------------------------------

const system = matchMedia("(prefers-color-scheme: dark)");

function remembered(value) {
  try { // a browser may forbid storage to files
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
