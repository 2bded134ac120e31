// --- start ----------------------------------------------------------------------------------------
function start() {
  readState();
  if (form) showCompare();
  apply();
  if (state.at) jump(state.at, true);
  if (state.row) openRow(state.row);
}
addEventListener("hashchange", start);
let resized = 0;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(apply, 120);
});
$(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
start();
