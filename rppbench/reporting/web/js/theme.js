// Light or dark, before anything is drawn: the reader's choice, else the system's wish.
let chosenTheme = null;
try { chosenTheme = localStorage.getItem("rppbench-theme"); } catch { /* a browser may forbid it */ }
document.documentElement.className = "js";
document.documentElement.dataset.theme =
  chosenTheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
