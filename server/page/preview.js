// The card that shows a passage while the pointer or the focus is on its mark.

import { element, foreign } from "./dom.js";
import { percent } from "./format.js";
import { passageText, titleOf } from "./passages.js";

const OPEN_AFTER = 180;
const CLOSE_AFTER = 200;
const GAP = 8;

const card = element("div", { className: "preview", hidden: true, "aria-hidden": "true" });
document.body.append(card);

let timer = null;
let shownFor = null;

function put(mark) {
  const at = mark.getBoundingClientRect();
  const width = document.documentElement.clientWidth;
  const left = Math.max(GAP, Math.min(at.left - GAP, width - card.offsetWidth - GAP));
  const below = at.bottom + GAP + card.offsetHeight <= window.innerHeight || at.top < card.offsetHeight + 2 * GAP;
  card.style.left = `${left}px`;
  card.style.top = `${below ? at.bottom + GAP : at.top - GAP - card.offsetHeight}px`;
}

function show(mark, passage, share) {
  const { source } = passage;
  card.replaceChildren(
    element("p", { className: "preview-title" }, element("span", { className: "number" }, passage.number), foreign(titleOf(source))),
    passageText(source),
    element("p", { className: "fine" }, foreign(source.document), ` · ${percent(share)} of this sentence’s attention`),
  );
  card.hidden = false;
  shownFor = mark;
  put(mark);
}

/** Hides the card. */
export function hidePreview() {
  clearTimeout(timer);
  card.hidden = true;
  shownFor = null;
}

function later(action, after) {
  clearTimeout(timer);
  timer = setTimeout(action, after);
}

/** Shows the card of `passage` beside `mark`, a button, while it is pointed at or has the focus. */
export function previewOf(mark, passage, share) {
  mark.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") later(() => show(mark, passage, share), OPEN_AFTER);
  });
  mark.addEventListener("pointerleave", () => later(hidePreview, CLOSE_AFTER));
  mark.addEventListener("focus", () => {
    if (mark.matches(":focus-visible")) later(() => show(mark, passage, share), OPEN_AFTER);
  });
  mark.addEventListener("blur", hidePreview);
}

card.addEventListener("pointerenter", () => clearTimeout(timer));
card.addEventListener("pointerleave", () => later(hidePreview, CLOSE_AFTER));
window.addEventListener("scroll", () => shownFor && put(shownFor), { passive: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !card.hidden) {
    hidePreview();
    event.stopPropagation();
  }
}, true);
