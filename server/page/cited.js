// An answer with its marks, bound to the list of its passages.

import { element } from "./dom.js";
import { percent } from "./format.js";
import { passageEntry, titleOf } from "./passages.js";
import { hidePreview, previewOf } from "./preview.js";

function light(nodes, on) {
  for (const node of nodes) node.classList.toggle("lit", on);
}

/** Lights `nodes` while the pointer is on `source` or the focus is within it. */
function lights(source, nodes) {
  source.addEventListener("pointerenter", () => light(nodes, true));
  source.addEventListener("pointerleave", () => light(nodes, false));
  source.addEventListener("focusin", () => light(nodes, true));
  source.addEventListener("focusout", () => light(nodes, false));
}

/**
 * Puts the sentences of `text` with their marks into `textNode`, and the passages into `listNode`, an `ol`.
 * `leanings` is what `leanings()` of attention.js gives; `prefix` makes ids unique in the page.
 */
export function showCited({ text, leanings, textNode, listNode, prefix }) {
  const { passages, sentences } = leanings;
  const strongest = Math.max(0, ...passages.map((passage) => passage.share ?? 0));
  const origin = new Map();
  const idOf = (passage) => `${prefix}-passage-${passage.number}`;

  const open = (passage, mark) => {
    hidePreview();
    origin.set(passage, mark);
    const entry = document.getElementById(idOf(passage));
    entry.open = true;
    entry.scrollIntoView({ block: "nearest" });
    entry.querySelector("summary").focus({ preventScroll: true });
  };

  const spans = sentences.map((sentence) => element("span", { className: "sentence" }, text.slice(sentence.start, sentence.end).trimEnd()));
  const marksOf = (sentence, span) =>
    sentence.leans.map(({ passage, share }) => {
      const label = `Passage ${passage.number}: ${titleOf(passage.source)}, ${percent(share)} of this sentence’s attention`;
      const mark = element("button", { type: "button", className: "cite", "aria-label": label, "aria-controls": idOf(passage) }, passage.number);
      mark.addEventListener("click", () => open(passage, mark));
      lights(mark, [span]);
      previewOf(mark, passage, share);
      return mark;
    });

  textNode.replaceChildren();
  sentences.forEach((sentence, at) => {
    const blank = text.slice(sentence.start, sentence.end).match(/\s*$/)[0];
    const marks = marksOf(sentence, spans[at]);
    textNode.append(spans[at], ...(marks.length > 0 ? [element("span", { className: "cites" }, ...marks)] : []), blank);
  });

  listNode.replaceChildren(
    ...passages.map((passage) => {
      const back = () => {
        const mark = origin.get(passage) ?? textNode.querySelector(`[aria-controls="${idOf(passage)}"]`);
        (mark ?? textNode).focus();
      };
      const item = passageEntry(passage, strongest, idOf(passage), back);
      lights(item, passage.sentences.map((at) => spans[at]));
      item.addEventListener("keydown", (event) => {
        if (event.key === "Escape") back();
      });
      return item;
    }),
  );
  const marks = [...textNode.querySelectorAll(".cite")];
  for (const passage of passages) {
    const own = marks.filter((mark) => mark.getAttribute("aria-controls") === idOf(passage));
    const entry = listNode.querySelector(`[id="${idOf(passage)}"]`);
    for (const mark of own) {
      mark.addEventListener("pointerenter", () => light([entry], true));
      mark.addEventListener("pointerleave", () => light([entry], false));
    }
  }
}
