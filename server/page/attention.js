// Which sentence of an answer leaned on which passage. Nothing here touches the document.

/** Passages that a sentence names at most. */
const MOST_MARKS = 3;
/** A sentence names passages with at least this part of what its strongest passage has. */
const BESIDE_STRONGEST = 0.3;
/** A sentence names no passage that has less than this share of its attention. */
const WEAKEST = 0.005;

/** The position in UTF-16 units of each code point of `text`, then that of its end. */
export function codePointOffsets(text) {
  const offsets = [];
  let at = 0;
  for (const point of text) {
    offsets.push(at);
    at += point.length;
  }
  offsets.push(at);
  return offsets;
}

const ABBREVIATION = /(?:^|[\s(])(?:Dr|Mr|Mrs|Ms|Prof|St|Art|Arts|Sec|Secs|Fig|vs|cf|e\.g|i\.e|Nos?|pp?|paras?|ss?|ch)\.\s*$/;
const NUMBER_OF_ITEM = /^\s*(?:\d{1,3}[.)]|[-*•])\s*$/;

function segments(text) {
  if (typeof Intl !== "undefined" && Intl.Segmenter) {
    const found = new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(text);
    return Array.from(found, (part) => part.segment);
  }
  return text.match(/[^.!?。！？\n]*[.!?。！？\n]*\s*/g).filter((part) => part !== "");
}

/** The sentences of `text` as `{start, end}` in UTF-16 units. They cover it without gap, blanks after a sentence belong to it. */
export function sentencesOf(text) {
  const sentences = [];
  let start = 0;
  let end = 0;
  for (const part of segments(text)) {
    end += part.length;
    const sentence = text.slice(start, end);
    const continues = ABBREVIATION.test(sentence) || NUMBER_OF_ITEM.test(sentence);
    if (continues && end < text.length) continue;
    if (part.trim() === "" && start + part.length === end && sentences.length > 0) {
      sentences[sentences.length - 1].end = end;
    } else {
      sentences.push({ start, end });
    }
    start = end;
  }
  return sentences;
}

function share(value) {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

/** One passage for each reference that the annotations name, whatever chunks read it. */
function gather(annotations) {
  const passages = new Map();
  const places = new Map();
  for (const annotation of annotations) {
    const source = annotation?.mempack;
    if (!source) continue;
    const name = JSON.stringify([source.pack_id, source.reference]);
    let passage = passages.get(name);
    if (!passage) {
      const url = annotation.url_citation?.url ?? "";
      passage = { source, url, similarity: source.similarity, share: null, sentences: [], number: 0 };
      passages.set(name, passage);
    }
    if (source.similarity > passage.similarity) passage.similarity = source.similarity;
    if (typeof source.attention === "number") passage.share = Math.max(passage.share ?? 0, share(source.attention));
    places.set(`${source.chunk}/${source.place}`, passage);
  }
  return { passages: [...passages.values()], places };
}

function add(sums, passage, value) {
  sums.set(passage, (sums.get(passage) ?? 0) + value);
}

/** The sentence that a token belongs to: the one that holds its last character, as tokens begin with the blank before a word. */
function sentenceAt(sentences, position) {
  return sentences.findIndex((sentence) => sentence.start <= position && position < sentence.end);
}

/**
 * What an answer leaned on.
 *
 * `annotations` are those of the answer; `tokens` is `attention.tokens` of its last event, or null. Positions of tokens are in code points.
 *
 * Gives `passages`, the strongest first and numbered from 1, each with its `share` of the attention of all tokens (null if the server gave
 * none) and the indexes of the `sentences` that name it; and `sentences`, each `{start, end, leans}` in UTF-16 units, where `leans` are
 * `{passage, share}` with the mean share over the tokens of the sentence, the strongest first.
 */
export function leanings(text, annotations, tokens) {
  const { passages, places } = gather(annotations);
  const sentences = sentencesOf(text).map((sentence) => ({ ...sentence, leans: [] }));
  const sums = sentences.map(() => new Map());
  const counts = sentences.map(() => 0);
  const total = new Map();
  let counted = 0;
  const offsets = codePointOffsets(text);
  for (const token of tokens ?? []) {
    const last = Math.max(token.start, token.end - 1);
    const position = offsets[Math.min(last, offsets.length - 2)];
    if (!Number.isInteger(last) || last < 0 || position === undefined) continue;
    const at = sentenceAt(sentences, position);
    if (at < 0) continue;
    counts[at] += 1;
    counted += 1;
    (token.shares ?? []).forEach((value, place) => {
      const passage = places.get(`${token.chunk}/${place}`);
      if (!passage) return;
      add(sums[at], passage, share(value));
      add(total, passage, share(value));
    });
  }
  if (counted > 0) {
    for (const passage of passages) passage.share = (total.get(passage) ?? 0) / counted;
  }
  passages.sort((a, b) => (b.share ?? -1) - (a.share ?? -1) || b.similarity - a.similarity);
  passages.forEach((passage, index) => (passage.number = index + 1));
  sentences.forEach((sentence, at) => {
    const means = [...sums[at]].map(([passage, sum]) => ({ passage, share: sum / counts[at] }));
    means.sort((a, b) => b.share - a.share);
    const least = Math.max(WEAKEST, (means[0]?.share ?? 0) * BESIDE_STRONGEST);
    sentence.leans = means.filter((lean) => lean.share >= least).slice(0, MOST_MARKS);
    for (const lean of sentence.leans) lean.passage.sentences.push(at);
  });
  return { passages, sentences };
}

/**
 * Where a passage's own bytes begin in its text, in UTF-16 units.
 *
 * A passage may begin with lines of its document that stand before its span of bytes, such as the header of a table. They are what the text
 * has more than `bytes` bytes of UTF-8.
 */
export function spanStart(text, bytes) {
  const encoder = new TextEncoder();
  let before = encoder.encode(text).length - bytes;
  if (!Number.isFinite(before) || before <= 0 || bytes <= 0) return 0;
  let at = 0;
  for (const point of text) {
    if (before <= 0) break;
    before -= encoder.encode(point).length;
    at += point.length;
  }
  return before === 0 ? at : 0;
}
