// A passage on the page: its text with its span of bytes, and where it comes from.

import { button, descriptions, element, foreign, announce } from "./dom.js";
import { count, decimal, percent } from "./format.js";
import { spanStart } from "./attention.js";

/** The text of a passage. What stands before its span of bytes is muted, the span is highlighted. */
export function passageText(source) {
  const text = String(source.text ?? "");
  const from = spanStart(text, source.end - source.start);
  const node = element("blockquote", { className: "passage-text", dir: "auto" });
  if (from > 0) node.append(element("span", { className: "before-span" }, text.slice(0, from)));
  node.append(element("mark", {}, text.slice(from)));
  return node;
}

/** `Title`, or the document where it has none. */
export function titleOf(source) {
  return source.title || source.document || "untitled";
}

/** Where a passage stands: `bytes 10–20` (which no line break divides), and page and section where there are any. */
function place(source) {
  const parts = [`bytes ${count(source.start)}\u2060–\u2060${count(source.end)}`];
  if (source.page !== null && source.page !== undefined) parts.push(`page ${source.page}`);
  if (source.section) parts.push(`section ${source.section}`);
  return foreign(parts.join(" · "));
}

function metadataOf(source) {
  const value = (data) => (typeof data === "string" ? data : JSON.stringify(data));
  return Object.entries(source.metadata ?? {}).map(([name, data]) => [foreign(name), foreign(value(data))]);
}

/** Where a passage comes from and how near it is. */
export function passageFacts(passage) {
  const { source } = passage;
  return descriptions("facts", [
    ["Document", foreign(source.document)],
    ["Place", place(source)],
    ["Pack", foreign(source.pack)],
    ["Similarity", decimal(passage.similarity, 3)],
    ["Attention", passage.share === null ? null : `${percent(passage.share)} over the answer`],
    ...metadataOf(source),
  ]);
}

function copyLink(url) {
  if (!url || !navigator.clipboard) return null;
  return button("Copy link", async () => {
    try {
      await navigator.clipboard.writeText(url);
      announce("The link is copied.");
    } catch {
      announce("The browser does not let this page copy.");
    }
  });
}

/** A bar as long as the share of a passage beside the strongest one. It repeats the number beside it. */
function bar(passage, strongest) {
  const fill = element("span", { className: "bar-fill" });
  const part = strongest > 0 ? (passage.share ?? 0) / strongest : 0;
  fill.style.inlineSize = `${Math.round(Math.min(part, 1) * 100)}%`;
  return element("span", { className: "bar", "aria-hidden": "true" }, fill);
}

/** An entry of the list of passages. `back` leads to where the reader came from. */
export function passageEntry(passage, strongest, id, back) {
  const { source } = passage;
  const summary = element(
    "summary",
    {},
    element("span", { className: "number" }, element("span", { className: "visually-hidden" }, "Passage "), passage.number),
    element(
      "span",
      { className: "passage-head" },
      element("bdi", { className: "passage-title" }, titleOf(source)),
      element("span", { className: "passage-place" }, place(source), " · ", foreign(source.pack)),
    ),
    element("span", { className: "share" }, bar(passage, strongest), passage.share === null ? "" : percent(passage.share)),
  );
  const details = element(
    "details",
    { className: "passage", id },
    summary,
    passageText(source),
    passageFacts(passage),
    element("p", { className: "buttons" }, button("Back to the answer", back), copyLink(passage.url)),
  );
  return element("li", {}, details);
}
