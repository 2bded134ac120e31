// --- state in the address -------------------------------------------------------------------------
const FRESH = {
  q: "", fam: "", sort: "", hide: "", x: "time", shots: "", table: "", row: "", at: "",
  task: "", a: "", b: "",
};
let state = { ...FRESH };

function readState() {
  state = { ...FRESH };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (key in FRESH) state[key] = value;
  }
}

function put(change) {
  Object.assign(state, change);
  const kept = Object.entries(state).filter(([key, value]) => value && value !== FRESH[key]);
  const spell = (text) => encodeURIComponent(text).replaceAll("%2C", ",").replaceAll("%3A", ":");
  const hash = kept.map(([key, value]) => `${key}=${spell(value)}`).join("&");
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

const list = (text) => text.split(",").filter(Boolean);
function toggled(text, name) {
  const names = new Set(list(text));
  if (!names.delete(name)) names.add(name);
  return [...names].join();
}

// --- light and dark -------------------------------------------------------------------------------
const root = document.documentElement;
const themeButton = $("#theme");
const showTheme = () => themeButton.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
themeButton.addEventListener("click", () => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("rppbench-theme", root.dataset.theme); } catch { /* as above */ }
  showTheme();
});
showTheme();

// --- copying, menus, keys -------------------------------------------------------------------------
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a page from a file may not use the clipboard's own interface
    const box = el("textarea", { value: text });
    button.after(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    button.focus();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1400);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest(".btn.link");
  const command = event.target.closest(".btn.copy");
  if (link) copy(location.href, link);
  if (command) copy($("code", command.parentElement).textContent, command);
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const typing = /INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName);
  if (event.key === "Escape") {
    for (const menu of $$("details.menu[open]")) {
      menu.open = false;
      $("summary", menu).focus();
    }
  }
  const search = $(".board:not([hidden]) .q");
  if (event.key === "/" && !typing && search && !$("dialog[open]")) {
    event.preventDefault();
    search.focus();
  }
});
