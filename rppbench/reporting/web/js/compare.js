// --- two methods ----------------------------------------------------------------------------------
const form = $("#compare");
const LEVEL = 0.05;

function chosenTable() {
  const all = data.compare;
  const key = (t) => state[t.switch] || "";
  return all.find((t) => t.task === state.task && (!key(t) || t.key === key(t))) || all[0];
}

async function showCompare() {
  const out = $("#out");
  const table = chosenTable();
  if (!table || table.rows.length < 2) {
    out.replaceChildren(el("p", { textContent: "No table has two rows." }));
    return;
  }
  const ids = table.rows.map((row) => row.id);
  const at = (id, other) => (ids.includes(id) ? ids.indexOf(id) : other);
  const i = at(state.a, Math.max(0, ids.indexOf(table.reference)));
  const j = at(state.b, i === 0 ? 1 : 0);
  const fill = (name, options, value) => form.elements[name].replaceChildren(
    ...options.map(([v, text]) => el("option", { value: v, textContent: text, selected: v === value })),
  );
  fill("table", data.compare.map((t, k) => [String(k), t.title]), String(data.compare.indexOf(table)));
  fill("a", table.rows.map((row) => [row.id, row.label]), ids[i]);
  fill("b", table.rows.map((row) => [row.id, row.label]), ids[j]);
  if (i === j) {
    out.replaceChildren(el("p", { textContent: "Choose two different methods." }));
    return;
  }
  let of = {};
  try { of = (await load(table.pairs)).of; } catch (error) { out.replaceChildren(el("p", { textContent: error.message })); return; }
  out.replaceChildren(...comparison(table, i, j, differences(of, i, j)));
}

// The differences of j from i; those of i from j with their signs turned.
function differences(of, i, j) {
  if (`${i}-${j}` in of) return of[`${i}-${j}`];
  return of[`${j}-${i}`]?.map((v) => {
    if (!v) return v;
    const [mean, low, high, p, lost, won] = v;
    return [-mean, ...(v.length > 3 ? [-high, -low, p] : []), ...(v.length > 5 ? [won, lost] : [])];
  });
}

const command = (table, a, b) => el(
  "div", { className: "cmd" },
  el("code", { textContent: `rppbench compare ${[a, b].map((r) => `'${r.label.replaceAll("'", "'\\''")}'`).join(" ")} --task ${table.task}` }),
  el("button", { type: "button", className: "btn copy", textContent: "Copy" }),
);

function comparison(table, i, j, known) {
  const [a, b] = [table.rows[i], table.rows[j]];
  const key = table.key ? `#${table.switch}=${table.key}` : "";
  const end = [
    command(table, a, b),
    el("p", {}, el("a", { href: `${table.file}${key}`, textContent: "All methods on this task" })),
  ];
  if (!known) {
    const text = "This site holds no test of these two rows, as there are many; the command below makes one.";
    return [el("div", { className: "answer" }, el("strong", { textContent: text })), ...end];
  }
  const [average, ...each] = known;
  const order = each.map((_, k) => k);
  if (!table.byMetric) order.sort((p, q) => (each[q]?.[0] ?? -1e9) - (each[p]?.[0] ?? -1e9));
  return [
    el("div", { className: "answer" }, ...verdict(table, a, b, average, each)),
    forest(table, i, j, average, each, order),
    el("p", { className: "note", textContent: note(table, each) }),
    ...end,
  ];
}

const certain = (v) => Boolean(v) && v.length > 3;
const toldApart = (v) => certain(v) && v[3] < LEVEL;

function verdict(table, a, b, average, each) {
  const lead = average || each[0];
  const what = table.byMetric ? table.columns[0] : "average";
  const lines = [];
  if (!lead) lines.push("Nothing is known of their difference.");
  else if (!certain(lead)) {
    lines.push(`${b.label} against ${a.label}: ${sign(lead[0])} (${what}); nothing says how certain that is.`);
  } else if (toldApart(lead)) {
    const side = lead[0] > 0 ? "above" : "below";
    lines.push(`${b.label} is ${Math.abs(lead[0]).toFixed(1)} ${side} ${a.label} (${what}; 95 % interval ${span(lead)}).`);
  } else {
    lines.push(`${b.label} and ${a.label} cannot be told apart: ${sign(lead[0])} (${what}), with an interval of ${span(lead)}.`);
  }
  if (!table.byMetric) {
    const told = each.map((v, k) => (toldApart(v) ? `${table.columns[k]} (${sign(v[0])})` : "")).filter(Boolean);
    lines.push(told.length
      ? `Told apart on ${told.length} of ${each.length} data sets, after correction for their number: ${told.join(", ")}.`
      : `On none of the ${each.length} data sets are they told apart, after correction for their number.`);
  }
  return [el("strong", { textContent: lines[0] }), ...lines.slice(1).map((text) => el("div", { textContent: text }))];
}

function note(table, each) {
  const counted = each.some((v) => v && v.length > 5);
  const how = counted
    ? "Paired by image and seed; an image counts as won or lost once a seed."
    : "Paired by seed.";
  const what = table.byMetric ? "measures" : "data sets";
  return `${how} Intervals are for one comparison; p is corrected for the ${each.filter(certain).length} ${what} (Holm), that of the average is not.`;
}

function forest(table, i, j, average, each, order) {
  const all = [average, ...each].filter(certain);
  const low = Math.min(0, ...all.map((v) => v[1]));
  const high = Math.max(0, ...all.map((v) => v[2]));
  const pad = (high - low || 1) * 0.06;
  const percent = (v) => `${(100 * (v - low + pad) / (high - low + 2 * pad)).toFixed(2)}%`;
  const [a, b] = [table.numbers[i], table.numbers[j]];
  const counted = each.some((v) => v && v.length > 5);
  const line = (name, first, second, v, lower, total) => {
    const cells = [first, second].map((text) => el("td", { className: "wide", textContent: text }));
    const p = certain(v) ? (v[3] < 0.001 ? "< 0.001" : v[3].toFixed(3)) : "–";
    const texts = [[v ? sign(v[0]) : "–", ""], [certain(v) ? span(v) : "–", "wide"], [total ? `${p} alone` : p, "wide"]];
    if (counted) texts.push([v && v.length > 5 ? `${v[5]} / ${v[4]}` : "", "wide"]);
    return el(
      "tr", { className: total ? "total" : "" },
      el("th", { scope: "row", className: "l", textContent: name + (lower ? " (less is better)" : "") }),
      ...cells, el("td", {}, whisker(v, percent, lower)),
      ...texts.map(([textContent, className]) => el("td", { textContent, className })),
    );
  };
  const rows = order.map((k) => line(table.columns[k], a.columns[k], b.columns[k], each[k], table.lowerColumns[k], false));
  if (average) rows.unshift(line("Average", a.average, b.average, average, table.lower, true));
  const axis = el("div", { className: "axis" }, ...ticks(low - pad, high + pad, 5).map((t) => {
    const tick = el("span", { textContent: t ? sign(t, Number.isInteger(t) ? 0 : 1) : "0" });
    tick.style.left = percent(t);
    return tick;
  }));
  const ends = el("div", { className: "soft ends" }, el("span", { textContent: `← ${a.name}` }), el("span", { textContent: `${b.name} →` }));
  const heads = [[table.byMetric ? "Measure" : "Data set", "l"], [a.name, "wide"], [b.name, "wide"], [null, "l drawn"],
    ["Difference", ""], ["95 % interval", "wide"], ["p", "wide"], ...(counted ? [["Images won / lost", "wide"]] : [])];
  const head = el("tr", {}, ...heads.map(([text, className]) => el(
    "th", { scope: "col", className }, ...(text === null ? [el("span", { className: "sr", textContent: "Drawn" }), ends, axis] : [text]),
  )));
  return el(
    "div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Differences" },
    el("table", { className: "forest" }, el("thead", {}, head), el("tbody", {}, ...rows)),
  );
}

function whisker(v, percent, lower) {
  const line = el("span", { className: "dw" });
  line.setAttribute("aria-hidden", "true");
  line.style.setProperty("--z", percent(0));
  if (!certain(v)) return line;
  const sure = toldApart(v);
  line.style.setProperty("--c", sure ? (v[0] > 0 !== lower ? "var(--up4)" : "var(--dn4)") : "var(--soft)");
  [["--a", v[1]], ["--b", v[2]], ["--m", v[0]]].forEach(([name, x]) => line.style.setProperty(name, percent(x)));
  line.classList.add(sure ? "s-both" : "s-text");
  line.append(el("i"), el("b"));
  return line;
}

if (form) {
  const chosen = (a, b) => {
    const table = data.compare[Number(form.elements.table.value)];
    put({ task: table.task, shots: "", table: "", [table.switch]: table.key, a, b });
    showCompare();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => chosen(form.elements.a.value, form.elements.b.value));
  $("#swap").addEventListener("click", () => chosen(form.elements.b.value, form.elements.a.value));
}
