// --- accuracy over the number of images a class ---------------------------------------------------
const MOST_LINES = 24;

function shotsPlot(b) {
  const box = $(".plot.shots", b.node);
  if (!box) return;
  const at = [...boards].sort((p, q) => Number(p.key) - Number(q.key));
  const phone = box.clientWidth < 560;
  const f = frame(box, phone ? 380 : 420, phone ? 104 : 140, "Average over images a class");
  const lines = b.rows.filter((row) => b.shown.has(row.id)).map((row) => ({
    row, at: at.map((other) => other.byLabel.get(row.label)),
  })).filter((line) => line.at.filter((r) => r && isNumber(r.mean)).length > 1).slice(0, MOST_LINES);
  if (!lines.length) {
    f.text(f.width / 2, 80, "No method is left that has several numbers of images.", { "text-anchor": "middle", class: "ax" });
    return;
  }
  const all = lines.flatMap((line) => line.at.filter((r) => r && isNumber(r.mean)));
  const low = Math.floor(Math.min(...all.map((r) => r.mean - (r.half || 0))));
  const high = Math.ceil(Math.max(...all.map((r) => r.mean + (r.half || 0))));
  const y = yAxis(f, low, high, b.metric);
  const wide = f.width - f.margin.left - f.margin.right - 30;
  const x = (i) => f.margin.left + 20 + i * wide / (at.length - 1);
  const middle = { "text-anchor": "middle", class: "ax" };
  at.forEach((other, i) => f.text(x(i), f.height - 27, other.key, middle));
  f.text((x(0) + x(at.length - 1)) / 2, f.height - 6, "Images a class", middle);
  const ends = lines.map((line) => {
    const last = line.at.findLastIndex((r) => r && isNumber(r.mean));
    return { line, last, y: y(line.at[last].mean) };
  }).sort((p, q) => p.y - q.y);
  ends.forEach((end, i) => { end.labelY = i ? Math.max(end.y, ends[i - 1].labelY + 15) : end.y; });
  const over = Math.max(0, ends.at(-1).labelY - f.base);
  for (const end of ends) end.labelY -= over;
  ends.forEach((end, k) => shotLine(f, x, y, end, (k - ends.length / 2) * (phone ? 0.8 : 1.8)));
}

function shotLine(f, x, y, { line, last, y: endY, labelY }, shift) {
  const { row } = line;
  const flat = row.family === "none";
  const g = sv("g");
  const known = line.at.map((r, i) => [r, i]).filter(([r]) => r && isNumber(r.mean));
  const d = known.map(([r, i], k) => `${k ? "L" : "M"}${x(i) + shift} ${y(r.mean)}`).join("");
  const dash = flat ? "stroke-width:1.5;stroke-dasharray:5 4" : "stroke-width:2.2";
  g.append(sv("path", { d, style: `fill:none;stroke:${row.colour};${dash}` }));
  for (const [r, i] of known) {
    const ends = { x1: x(i) + shift, x2: x(i) + shift, y1: y(r.mean - r.half), y2: y(r.mean + r.half) };
    if (r.half) g.append(sv("line", { ...ends, style: `stroke:${row.colour};stroke-width:2.5;opacity:.4` }));
    if (!flat) g.append(mark(row, x(i) + shift, y(r.mean)));
  }
  const from = x(last) + 10;
  const to = f.width - f.margin.right + 6;
  g.append(
    sv("path", { d: `M${from} ${endY}L${to} ${labelY}`, style: "stroke:var(--soft);opacity:.6;fill:none" }),
    sv("text", { x: to + 3, y: labelY + 4, style: inked(row) }, row.label),
  );
  f.svg.append(g);
}
