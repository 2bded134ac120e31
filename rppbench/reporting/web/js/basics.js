// Tables are in the page already; this sorts, filters, draws and opens. All state is in the address.
// Names come from anyone's plugins: text enters the page as text only.
const $ = (selector, at = document) => at.querySelector(selector);
const $$ = (selector, at = document) => [...at.querySelectorAll(selector)];
const data = JSON.parse($("#data").textContent);

function el(tag, props = {}, ...kids) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...kids.filter((kid) => kid !== null && kid !== undefined && kid !== ""));
  return element;
}

function sv(tag, attributes = {}, ...kids) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") element.style.cssText = value;
    else element.setAttribute(name, value);
  }
  element.append(...kids);
  return element;
}

// --- numbers as texts -----------------------------------------------------------------------------
const minus = (text) => text.replace("-", "−");
const isNumber = (x) => x !== null && x !== undefined;
const fix = (x, digits = 1) => (isNumber(x) ? minus(x.toFixed(digits)) : "–");
function sign(x, digits = 1) {
  const text = Math.abs(x).toFixed(digits);
  return Number(text) === 0 ? text : (x < 0 ? "−" : "+") + text;
}
const span = ([, low, high], digits = 1) => `${sign(low, digits)} to ${sign(high, digits)}`;

// --- data in script files: a page that was opened from a file may not fetch -----------------------
const arrived = new Map();
globalThis.rppbenchData = (name, content) => arrived.set(name, content);

function load(name) {
  if (arrived.has(name)) return Promise.resolve(arrived.get(name));
  return new Promise((resolve, reject) => {
    const script = el("script", { src: `${name}.js` });
    script.onload = () => resolve(arrived.get(name));
    script.onerror = () => reject(new Error(`${name}.js is missing beside this page`));
    document.head.append(script);
  });
}
