// --- boards: a table with all about it ------------------------------------------------------------
const boards = (data.boards || []).map((b, i) => {
  const node = $(`.board[data-board="${i}"]`);
  const lines = [...$(".main tbody", node).rows];
  return Object.assign(b, {
    node,
    first: lines,
    byId: new Map(b.rows.map((row) => [row.id, row])),
    byLabel: new Map(b.rows.map((row) => [row.label, row])),
    shown: new Set(b.rows.map((row) => row.id)),
  });
});
const board = () => boards.find((b) => !b.node.hidden);
const collator = new Intl.Collator("en", { numeric: true });

function sortValue(cell) {
  if ("v" in cell.dataset) return cell.dataset.v === "" ? null : Number(cell.dataset.v);
  const text = cell.textContent.trim();
  const number = Number.parseFloat(text.replace("−", "-"));
  return Number.isNaN(number) ? (text === "–" ? null : text) : number;
}

function sortRows(b) {
  const [key, direction] = state.sort.split(":");
  for (const head of $$(".main thead th", b.node)) head.removeAttribute("aria-sort");
  const head = key ? $(`.main th[data-k="${CSS.escape(key)}"]`, b.node) : null;
  let lines = b.first;
  if (head) {
    const turn = direction === "desc" ? -1 : 1;
    const at = head.cellIndex;
    const value = (line) => (at ? sortValue(line.cells[at]) : b.byId.get(line.dataset.id).label);
    head.setAttribute("aria-sort", turn < 0 ? "descending" : "ascending");
    lines = lines.map((line) => [value(line), line]).sort(([v], [w]) => {
      if (v === null || w === null) return (v === null) - (w === null); // without a number: last
      if (typeof v === "string" || typeof w === "string") return collator.compare(v, w) * turn;
      return (v - w) * turn;
    }).map(([, line]) => line);
  }
  const order = new Map(lines.map((line, i) => [line.dataset.id, i]));
  $(".main tbody", b.node).append(...lines);
  for (const heat of $$("table.heat tbody", b.node)) {
    heat.append(...[...heat.rows].sort((p, q) => order.get(p.dataset.id) - order.get(q.dataset.id)));
  }
  roundLanes(lines.filter((line) => !line.hidden));
}

// A lane's ends are rounded where its run begins and ends.
function roundLanes(lines) {
  const marks = lines.map((line) => $$(".lanes i", line));
  const on = marks.map((of) => of.map((i) => i.classList.contains("on")));
  marks.forEach((of, k) => of.forEach((i, lane) => {
    i.classList.toggle("first", on[k][lane] && !on[k - 1]?.[lane]);
    i.classList.toggle("last", on[k][lane] && !on[k + 1]?.[lane]);
  }));
}

function filterRows(b) {
  const off = new Set(list(state.fam));
  const words = state.q.trim().toLowerCase().split(/\s+/).filter(Boolean);
  b.shown = new Set(b.rows.filter(
    (row) => !off.has(row.family) && words.every((word) => row.words.includes(word)),
  ).map((row) => row.id));
  for (const line of $$("tr[data-id]", b.node)) line.hidden = !b.shown.has(line.dataset.id);
  const all = b.rows.length;
  const left = b.shown.size;
  $(".count", b.node).textContent =
    left === all ? `${all} methods` : `${left} of ${all} methods; ranks and ties are of all`;
}

function hideColumns(b) {
  const hidden = list(state.hide).join();
  if (b.hidden !== hidden) {
    b.hidden = hidden;
    const names = new Set(list(hidden));
    const heads = $$(".main thead th", b.node);
    const lines = $$(".main tr", b.node);
    heads.forEach((head, at) => {
      const away = names.has(head.dataset.k);
      if (head.hidden !== away) for (const line of lines) line.cells[at].hidden = away;
    });
  }
  let left = 0; // the columns that stay put close ranks where one is hidden
  $$(".main thead th.k", b.node).forEach((head, k) => {
    b.node.style.setProperty(`--left${k}`, `${left}px`);
    if (!head.hidden) left += head.offsetWidth;
  });
}

function showControls(b) {
  const off = list(state.fam);
  const hide = list(state.hide);
  const pressed = (button, yes) => button.setAttribute("aria-pressed", String(yes));
  if ($(".q", b.node).value !== state.q) $(".q", b.node).value = state.q;
  $(".sortby", b.node).value = state.sort || "";
  for (const chip of $$(".chips button", b.node)) pressed(chip, !off.includes(chip.dataset.family));
  for (const box of $$("[data-col]", b.node)) box.checked = !hide.includes(box.dataset.col);
  for (const button of $$("[data-x]", b.node)) pressed(button, button.dataset.x === state.x);
  for (const button of $$(".switch button")) pressed(button, button.dataset.key === b.key);
}

let drawing = 0;
function apply() {
  if (!boards.length) return;
  const wanted = state[data.switch] || data.open;
  const chosen = boards.find((b) => b.key === wanted) || boards.find((b) => b.key === data.open);
  for (const b of boards) b.node.hidden = b !== chosen;
  showControls(chosen);
  filterRows(chosen);
  hideColumns(chosen);
  sortRows(chosen);
  showTray();
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => { costPlot(chosen); shotsPlot(chosen); });
}

function saveCsv(b) {
  const lines = $$(".main tr", b.node).filter((line) => !line.hidden);
  const shown = (cell) => ($(".h", cell) || $(".open", cell) || $(".avg > span", cell) || cell).textContent;
  // A spreadsheet must not take a name for a formula.
  const plain = (text) => (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text);
  const quoted = (text) => `"${plain(text.trim().replace(/\s+/g, " ")).replaceAll('"', '""')}"`;
  const text = lines.map(
    (line) => [...line.cells].filter((cell) => !cell.hidden).map((cell) => quoted(shown(cell))).join(","),
  ).join("\r\n");
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: `${b.task}.csv` });
  link.click();
}

const compareLink = (b, first, second) => {
  const key = b.key ? `&${data.switch}=${b.key}` : "";
  return `compare.html#task=${encodeURIComponent(b.task)}${key}&a=${first}&b=${second}`;
};

// Two ticked rows offer to be compared.
function showTray() {
  const b = board();
  const picked = $$(".pick:checked", b.node).map((box) => box.closest("tr").dataset.id);
  $(".tray")?.remove();
  if (!picked.length) return;
  const [first, second] = picked.map((id) => b.byId.get(id).label);
  const two = picked.length > 1;
  const clear = () => {
    for (const box of $$(".pick:checked")) box.checked = false;
    showTray();
  };
  const text = two ? `${first} and ${second}` : `${first}: pick another to compare`;
  const bar = el("div", { className: "tray noprint", role: "status" }, el("span", { textContent: text }));
  if (two) bar.append(el("a", { className: "btn main", textContent: "Compare", href: compareLink(b, ...picked) }));
  bar.append(el("button", { className: "btn", type: "button", textContent: "Clear", onclick: clear }));
  document.body.append(bar);
}

// What only a script can use is made by it.
function equip(b) {
  for (const line of b.first) {
    const row = b.byId.get(line.dataset.id);
    line.cells[0].replaceChildren(
      el("input", { type: "checkbox", className: "pick noprint", ariaLabel: `Pick ${row.label} to compare` }),
      el("button", { type: "button", className: "open", ariaHasPopup: "dialog" }, icon(row), row.label),
    );
  }
  const menu = $(".cols > div", b.node);
  const sorts = el("select", { className: "field sortby", ariaLabel: "Sort by" });
  sorts.append(el("option", { value: "", textContent: "Best first" }));
  for (const head of $$(".main thead th", b.node)) {
    const name = $(".h", head).textContent;
    if (!head.classList.contains("k0") && !head.classList.contains("k1")) {
      const box = el("input", { type: "checkbox", checked: true });
      box.dataset.col = head.dataset.k;
      menu.append(el("label", {}, box, name));
    }
    for (const [way, text] of [["asc", "up"], ["desc", "down"]]) {
      sorts.append(el("option", { value: `${head.dataset.k}:${way}`, textContent: `${name}, ${text}` }));
    }
    $(".h", head).replaceWith(el("button", { type: "button", className: "h", textContent: name }));
  }
  $(".search", b.node).after(sorts);
  listen(b, sorts);
  for (const table of $$("table", b.node)) restateRoles(table);
}

function listen(b, sorts) {
  const change = (values) => { put(values); apply(); };
  const on = (selector, type, act) => {
    for (const e of $$(selector, b.node)) e.addEventListener(type, () => act(e));
  };
  sorts.addEventListener("change", () => change({ sort: sorts.value }));
  on(".q", "input", (e) => change({ q: e.value }));
  on(".chips button", "click", (e) => change({ fam: toggled(state.fam, e.dataset.family) }));
  on("[data-col]", "change", (e) => change({ hide: toggled(state.hide, e.dataset.col) }));
  on(".reset", "click", () => change({ q: "", fam: "", sort: "", hide: "", x: FRESH.x }));
  on("[data-x]", "click", (e) => change({ x: e.dataset.x }));
  on(".csv", "click", () => saveCsv(b));
  on(".open", "click", (e) => openRow(e.closest("tr").dataset.id));
  on(".pick", "change", (e) => {
    const more = $$(".pick:checked", b.node);
    if (more.length > 2) more.find((box) => box !== e).checked = false;
    showTray();
  });
  on(".h", "click", (e) => {
    const head = e.closest("th");
    const now = head.getAttribute("aria-sort");
    change({ sort: `${head.dataset.k}:${now ? (now === "ascending" ? "desc" : "asc") : head.dataset.first}` });
  });
}

// A phone shows rows as cards; they stay a table to be read out.
function restateRoles(table) {
  table.setAttribute("role", "table");
  const role = (selector, name) => { for (const e of $$(selector, table)) e.setAttribute("role", name); };
  role("thead, tbody", "rowgroup");
  role("tr", "row");
  role("td", "cell");
  role("tbody th", "rowheader");
  role("thead th", "columnheader");
}

for (const b of boards) equip(b);
for (const button of $$(".switch button")) {
  button.addEventListener("click", () => { put({ [data.switch]: button.dataset.key }); apply(); });
}

function jump(at, calm) {
  const to = $(`.board:not([hidden]) [data-at="${CSS.escape(at)}"]`);
  if (!to) return;
  to.scrollIntoView({ behavior: calm ? "instant" : "auto" });
  to.tabIndex = -1;
  to.focus({ preventScroll: true });
}
for (const link of $$(".jump a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    put({ at: new URLSearchParams(link.hash.slice(1)).get("at") });
    jump(state.at);
  });
}
