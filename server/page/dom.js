// Elements of the page. Whatever a server sends gets into the document here, as text.

const PROPERTIES = new Set(["className", "hidden", "disabled", "open", "checked", "value", "htmlFor", "type", "id", "dir", "tabIndex", "title"]);

/** An element with properties, attributes (`aria-…`, `role`, `data-…`) and listeners (`onclick`), and children: elements or text. */
export function element(name, settings = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(settings)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (PROPERTIES.has(key)) node[key] = value;
    else node.setAttribute(key, value);
  }
  append(node, children);
  return node;
}

/** Appends elements and texts. */
export function append(node, children) {
  for (const child of children.flat()) {
    if (child !== undefined && child !== null) node.append(child instanceof Node ? child : String(child));
  }
}

/** Text of a server within a line: its direction does not reach what stands around it. */
export function foreign(text) {
  return element("bdi", {}, text);
}

/** A list of terms and descriptions from pairs; pairs without a description are left out. */
export function descriptions(className, pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", { className }, rows.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));
}

/** A button. */
export function button(label, onclick, className = "quiet") {
  return element("button", { type: "button", className, onclick }, label);
}

const status = document.getElementById("status");
const spoken = document.getElementById("spoken");

/** Says something to a screen reader: what has happened. */
export function announce(text) {
  status.textContent = text;
}

/** Adds to what a screen reader reads out: a sentence of an answer. */
export function speak(text) {
  spoken.append(element("p", { dir: "auto" }, text));
}

/** Forgets what `speak` collected. */
export function silence() {
  spoken.replaceChildren();
}
