// --- the drawer of a row --------------------------------------------------------------------------
// A failed cell ends in the log of its worker, which is linked if it is below the folder of records.
function withLog(text, logs) {
  const [, before, log] = /^([^]*\nlog: )([\w./-]+)$/.exec(text) ?? [];
  if (!logs || !log || log.startsWith("/") || log.split("/").includes("..")) return [text];
  return [before, el("a", { href: `${logs}/${log}`, textContent: log })];
}

function plainTable(heads, rows, name, logs = "") {
  const line = (tag, cells) => el("tr", {}, ...cells.map((text, i) => {
    const cell = el(i || tag === "th" ? tag : "th", { className: i ? "" : "l" }, ...withLog(text, logs));
    cell.setAttribute("scope", tag === "th" ? "col" : "row");
    if (cell.tagName === "TD") cell.removeAttribute("scope");
    return cell;
  }));
  return el(
    "div",
    { className: "scroll bare", tabIndex: 0, role: "region", ariaLabel: name },
    el("table", {}, el("thead", {}, line("th", heads)), el("tbody", {}, ...rows.map((r) => line("td", r)))),
  );
}

const terms = (pairs) => el("dl", {}, ...pairs.flatMap(([name, value]) => [
  el("dt", { textContent: name }), el("dd", {}, value),
]));

function lossPlot(row, losses) {
  const points = losses.flatMap(([, values]) => values.map((loss, i) => [i + 1, loss]));
  if (points.length < 2) return null;
  const [width, height] = [500, 150];
  const [last, low, high] = [
    Math.max(...points.map(([x]) => x)),
    Math.min(...points.map(([, y]) => y)),
    Math.max(...points.map(([, y]) => y)),
  ];
  const x = (v) => 48 + (v - 1) / (last - 1 || 1) * (width - 108);
  const y = (v) => 12 + (high - v) / (high - low || 1) * (height - 44);
  const label = `Training loss from ${points[0][1]} in the first epoch to ${points.at(-1)[1]} in the last`;
  const svg = sv("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const v of [low, high]) {
    svg.append(sv("line", { x1: 48, x2: width - 60, y1: y(v), y2: y(v), class: "grid" }));
    svg.append(sv("text", { x: 42, y: y(v) + 4, "text-anchor": "end", class: "ax" }, v.toPrecision(3)));
  }
  for (const [v, anchor] of [[1, "start"], [last, "end"]]) {
    svg.append(sv("text", { x: x(v), y: height - 6, "text-anchor": anchor, class: "ax" }, `epoch ${v}`));
  }
  const dashes = ["none", "7 3", "2 3"];
  losses.forEach(([seed, values], k) => {
    const d = values.map((loss, i) => `${i ? "L" : "M"}${x(i + 1)} ${y(loss)}`).join("");
    const style = `fill:none;stroke:${row.colour};stroke-width:2;stroke-dasharray:${dashes[k % 3]}`;
    svg.append(sv("path", { d, style }));
    const at = Math.min(height - 34, y(values.at(-1))) - (losses.length - 1 - k) * 14 + 4;
    svg.append(sv("text", { x: width - 54, y: at, style: inked(row) }, `seed ${seed}`));
  });
  return svg;
}

let cameFrom = null;
async function openRow(id) {
  const b = board();
  const row = b?.byId.get(id);
  if (!row) return;
  put({ row: id });
  const dialog = $("dialog.drawer") || document.body.appendChild(el("dialog", { className: "drawer" }));
  if (!dialog.open) cameFrom = document.activeElement;
  dialog.setAttribute("aria-labelledby", "drawer-title");
  const ids = $$(".main tbody tr", b.node).filter((line) => !line.hidden).map((line) => line.dataset.id);
  const at = ids.indexOf(id);
  const step = (text, name, to) => el("button", {
    type: "button", className: "icon", textContent: text, ariaLabel: name, disabled: !to,
    onclick: async () => { await openRow(to); $(`[aria-label="${name}"]`, dialog).focus(); },
  });
  const header = el(
    "header", {},
    el("h2", { id: "drawer-title", tabIndex: -1 }, icon(row), row.label),
    step("‹", "Method before", ids[at - 1]),
    step("›", "Next method", ids[at + 1]),
    el("button", { type: "button", className: "icon", textContent: "✕", ariaLabel: "Close", onclick: () => dialog.close() }),
  );
  let body;
  try {
    const content = await load(b.drawer);
    body = drawerBody(b, row, content.rows[id], content);
  } catch (error) {
    body = [el("p", { textContent: error.message })];
  }
  if (state.row !== id) return; // another row was opened meanwhile
  dialog.replaceChildren(header, ...body);
  dialog.onclose = () => { put({ row: "" }); cameFrom?.focus?.(); };
  dialog.onclick = (event) => {
    if (event.target === dialog && event.clientX < dialog.getBoundingClientRect().left) dialog.close();
  };
  if (!dialog.open) {
    dialog.showModal();
    $("h2", dialog).focus();
  }
  dialog.scrollTop = 0;
}

function papers(text) {
  return text.split(", ").filter(Boolean).flatMap((one, i) => {
    const arxiv = /^arXiv:([\d.]+)$/.exec(one);
    const shown = arxiv
      ? el("a", { href: `https://arxiv.org/abs/${arxiv[1]}`, textContent: one, rel: "noreferrer" })
      : one;
    return i ? [", ", shown] : [shown];
  });
}

function drawerBody(b, row, of, { shared, logs }) {
  const [headline, ...more] = of.verdict;
  const special = [
    ...of.byHand.map(([name, value]) => [name, el("b", { textContent: `${value} (set by hand)` })]),
    ...of.special,
  ];
  const loss = lossPlot(row, of.losses);
  const rest = [...of.rest, ...shared];
  const other = b.byId.get(b.reference);
  const title = b.byMetric ? "Each measure" : "Each data set";
  return [
    el("p", {}, of.about ? `${of.about} ` : "", ...papers(of.paper)),
    el("div", { className: "answer" }, el("strong", { textContent: headline }),
      ...more.map((line) => el("div", { textContent: line }))),
    el("h3", { textContent: "Make this row" }),
    el("div", { className: "cmd" }, el("code", { textContent: of.command }),
      el("button", { type: "button", className: "btn copy", textContent: "Copy" })),
    el("h3", { textContent: "What is special about it" }),
    special.length ? terms(special) : el("p", { className: "soft", textContent: "Nothing: no option differs from the other rows." }),
    el("h3", { textContent: of.numbers.heads.length > 2 ? `${title}, each seed` : title }),
    plainTable(of.numbers.heads, of.numbers.rows, title),
    ...(loss ? [el("h3", { textContent: "Training loss" }), loss] : []),
    el("h3", { textContent: "Cost" }), terms(of.cost),
    other && other !== row
      ? el("p", {}, el("a", { className: "btn main", textContent: `Compare with ${other.label}`, href: compareLink(b, other.id, row.id) }))
      : "",
    el("details", {}, el("summary", { textContent: `What it shares with others, and digests (${rest.length})` }), terms(rest)),
    ...of.details.map((part) => el("details", {}, el("summary", { textContent: `${part.title} (${part.rows.length})` }),
      plainTable(part.heads, part.rows, part.title, logs))),
  ];
}
