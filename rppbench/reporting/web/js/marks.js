// --- marks ----------------------------------------------------------------------------------------
const PATHS = {
  none: "M-5-1.3h3.7v-3.7h2.6v3.7h3.7v2.6h-3.7v3.7h-2.6v-3.7h-3.7z",
  text: "M-4.8 0a4.8 4.8 0 1 0 9.6 0a4.8 4.8 0 1 0-9.6 0z",
  image: "M-4.4-4.4h8.8v8.8h-8.8z",
  both: "M0-6 6 0 0 6-6 0z",
  adapter: "M0-5.6 5.6 4.6h-11.2z",
  other: "M-3-5.2h6L6 0 3 5.2h-6L-6 0z",
};
const mark = (row, x = 0, y = 0) => sv("path", {
  d: PATHS[row.family] || PATHS.other,
  transform: `translate(${x} ${y})`,
  style: `fill:${row.colour};stroke:var(--card)`,
});
const icon = (row) => sv(
  "svg",
  { class: "mk", viewBox: "-7 -7 14 14", style: `--c:${row.colour}`, "aria-hidden": "true" },
  mark(row),
);
// A label must be read, a mark only seen.
const inked = (row) => `fill:color-mix(in srgb, ${row.colour} 62%, var(--ink))`;

// --- a plot's frame -------------------------------------------------------------------------------
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((one) => one >= raw * 0.999);
  const values = [];
  for (let t = Math.ceil(low / step) * step; t <= high + 1e-9; t += step) values.push(+t.toFixed(6));
  return values;
}

function frame(box, height, right, label) {
  const width = Math.max(200, box.clientWidth - 18);
  const margin = { left: 44, right, top: 26, bottom: 46 };
  const svg = sv("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  box.replaceChildren(svg);
  const text = (x, y, content, attributes = {}) =>
    svg.appendChild(sv("text", { x, y, ...attributes }, content));
  return { svg, width, height, margin, base: height - margin.bottom, text };
}

function yAxis(f, low, high, title) {
  const y = (v) => f.base - (v - low) / (high - low || 1) * (f.base - f.margin.top);
  for (const t of ticks(low, high, f.height > 380 ? 6 : 4)) {
    const ends = { x1: f.margin.left, x2: f.width - f.margin.right, y1: y(t), y2: y(t) };
    f.svg.append(sv("line", { ...ends, class: "grid" }));
    f.text(f.margin.left - 8, y(t) + 4, minus(String(t)), { "text-anchor": "end", class: "ax" });
  }
  f.text(0, 9, title, { class: "ax" });
  return y;
}

let pen;
function textWidth(text) {
  pen ||= el("canvas").getContext("2d");
  pen.font = "400 12.5px system-ui, sans-serif";
  return pen.measureText(text).width;
}

// --- labels next to their marks: the first place that covers no other label, mark or whisker ------
const SIDES = [[1, 0], [-1, 0], [1, -1], [1, 1], [-1, -1], [-1, 1], [0, -1], [0, 1]];
function overlap(a, b) {
  const wide = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  return wide > 0 ? wide * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1])) : 0;
}
function place(points, f, taken) {
  for (const p of points) {
    taken.push([p.x - 6, p.y - 6, p.x + 6, p.y + 6], [p.x - 2, p.top, p.x + 2, p.bottom]);
  }
  for (const p of points) {
    const width = textWidth(p.label);
    let best = null;
    for (let far = 0; far < 5; far += 1) {
      for (const [dx, dy] of SIDES) {
        if (!dy && far > 1) continue;
        const right = p.x + 10 + far * 9;
        const x = dx > 0 ? right : dx < 0 ? p.x - 10 - width - far * 9 : p.x - width / 2;
        const y = p.y + dy * (dx ? 12 + far * 13 : 18 + far * 13);
        const box = [x, y - 8, x + width, y + 7];
        const outside = x < f.margin.left || x + width > f.width - 2 || y < f.margin.top || y > f.base;
        const covered = taken.reduce((sum, other) => sum + overlap(box, other), 0);
        const cost = covered + far * 6 + (dy ? 3 : 0) + (outside ? 1e5 : 0);
        if (!best || cost < best.cost) best = { cost, box, x, y, far };
      }
    }
    taken.push(best.box);
    Object.assign(p, { labelX: best.x, labelY: best.y, width, far: best.far });
  }
}
