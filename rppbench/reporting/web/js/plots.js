// --- accuracy against cost ------------------------------------------------------------------------
const MOST_LABELS = 60;
const COSTS = {
  time: {
    of: (row) => row.seconds,
    title: "Time of one training, log scale",
    at: [0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000, 86400],
    text: (t) => (t < 60 ? `${t} s` : t < 3600 ? `${t / 60} min` : `${t / 3600} h`),
  },
  params: {
    of: (row) => row.parameters,
    title: "Learned parameters, log scale",
    at: [0, ...[2, 3, 4, 5, 6, 7, 8].flatMap((n) => [1, 2, 5].map((m) => m * 10 ** n))],
    text: (t) => (t >= 1e6 ? `${t / 1e6} M` : t.toLocaleString("en")),
  },
};

function costPlot(b) {
  const box = $(".plot.cost", b.node);
  const cost = COSTS[state.x] || COSTS.time;
  const phone = box.clientWidth < 560;
  const f = frame(box, phone ? 400 : 440, phone ? 8 : 24, `${b.metric} against cost`);
  const zero = b.byId.get(b.reference);
  const rows = b.rows.filter(
    (r) => b.shown.has(r.id) && r !== zero && isNumber(r.mean) && isNumber(cost.of(r)),
  );
  if (!rows.length || !b.scale) {
    const why = b.shown.size ? "No method here has this cost." : "No method is left: clear the filters.";
    f.text(f.width / 2, 80, why, { "text-anchor": "middle", class: "ax" });
    return;
  }
  const [low, high] = b.scale;
  const y = yAxis(f, low, high, b.metric);
  const x = costAxis(f, rows, cost, phone);
  const inside = (v) => Math.max(f.margin.top, Math.min(f.base, y(v)));
  const points = rows.map((row) => {
    const off = row.mean < low || row.mean > high;
    return {
      row, off, x: x(cost.of(row)), y: inside(row.mean),
      top: inside(row.mean + (row.half || 0)), bottom: inside(row.mean - (row.half || 0)),
      label: off ? `${row.label} ${fix(row.mean)} ${row.mean < low ? "▾" : "▴"}` : row.label,
    };
  });
  const taken = zero && isNumber(zero.mean) ? [referenceLine(f, y, zero, points)] : [];
  const labelled = points.slice(0, MOST_LABELS).sort((p, q) => p.x - q.x);
  place(labelled, f, taken);
  for (const p of points) f.svg.append(costPoint(p));
}

function costAxis(f, rows, cost, phone) {
  const some = rows.map(cost.of).filter((v) => v > 0);
  const none = rows.some((row) => cost.of(row) === 0);
  const first = Math.min(...some) / 1.5;
  const last = Math.max(...some) * (phone ? 1.4 : 2.2);
  const start = f.margin.left + (none ? 60 : 0);
  const wide = f.width - f.margin.right - start;
  const x = (v) => (v === 0 ? f.margin.left + 24 : start + Math.log(v / first) / Math.log(last / first) * wide);
  let free = -Infinity;
  for (const t of cost.at) {
    if (!(t ? t >= first && t <= last && x(t) > free : none)) continue;
    free = x(t) + 52;
    f.svg.append(sv("line", { x1: x(t), x2: x(t), y1: f.base, y2: f.base + 5, style: "stroke:var(--soft)" }));
    f.text(x(t), f.base + 19, cost.text(t), { "text-anchor": "middle", class: "ax" });
  }
  f.text(f.width - f.margin.right, f.height - 6, cost.title, { "text-anchor": "end", class: "ax" });
  return x;
}

// The reference is a line; its label stands where the fewest marks are.
function referenceLine(f, y, zero, points) {
  const at = y(zero.mean);
  const right = f.width - f.margin.right;
  f.svg.append(sv("line", {
    x1: f.margin.left, x2: right, y1: at, y2: at,
    style: "stroke:var(--ref);stroke-width:1.5;stroke-dasharray:5 4",
  }));
  const label = `${zero.label} ${fix(zero.mean, zero.digits)}`;
  const width = textWidth(label);
  const spots = [right - width, f.margin.left + 6, (f.width + f.margin.left - width) / 2]
    .flatMap((x) => [[x, at - 6], [x, at + 15]]);
  const crowd = ([x, bottom]) => points.filter(
    (p) => p.x > x - 10 && p.x < x + width + 10 && p.top < bottom + 3 && p.bottom > bottom - 12,
  ).length;
  const [x, bottom] = spots.reduce((a, b) => (crowd(b) < crowd(a) ? b : a));
  f.text(x, bottom, label, { class: "ax halo" });
  return [x, bottom - 12, x + width, bottom + 4];
}

function costPoint(p) {
  const { row } = p;
  const spread = isNumber(row.half) ? ` ± ${fix(row.half, row.digits)}` : "";
  const g = sv("g", { class: "dot" });
  g.append(sv("title", {}, `${row.label}: ${fix(row.mean, row.digits)}${spread}`));
  if (!p.off) {
    const style = `stroke:${row.colour};stroke-width:3;opacity:.4`;
    g.append(sv("line", { x1: p.x, x2: p.x, y1: p.top, y2: p.bottom, style }));
  }
  if (p.far > 0) {
    const x2 = p.labelX > p.x ? p.labelX - 2 : Math.min(p.x, p.labelX + p.width + 2);
    g.append(sv("line", { x1: p.x, y1: p.y, x2, y2: p.labelY, style: "stroke:var(--soft);opacity:.6" }));
  }
  g.append(mark(row, p.x, p.y));
  if (isNumber(p.labelX)) {
    g.append(sv("text", { x: p.labelX, y: p.labelY + 4, class: "halo", style: inked(row) }, p.label));
  }
  g.addEventListener("click", () => openRow(row.id));
  return g;
}
