// Server-sent events out of a byte stream.

/** The most characters that one event may have. A longer one ends the stream with an error. */
const LONGEST_EVENT = 64 * 1024 * 1024;

/** Puts pieces of an event stream together, wherever they were cut. */
export class EventParser {
  #line = "";
  #data = [];
  #afterReturn = false;

  /**
   * The data of the events that this piece completes, in order.
   * Lines end with LF, CR or CRLF. Comments and fields other than `data` are passed over.
   */
  push(piece) {
    const complete = [];
    let from = 0;
    if (this.#afterReturn && piece.length > 0) {
      from = piece[0] === "\n" ? 1 : 0;
      this.#afterReturn = false;
    }
    const ends = /\r\n|\n|\r/g;
    ends.lastIndex = from;
    for (let end = ends.exec(piece); end !== null; end = ends.exec(piece)) {
      this.#finishLine(this.#line + piece.slice(from, end.index), complete);
      this.#line = "";
      from = ends.lastIndex;
      this.#afterReturn = end[0] === "\r" && from === piece.length;
    }
    this.#line += piece.slice(from);
    if (this.#line.length + this.#data.reduce((sum, line) => sum + line.length, 0) > LONGEST_EVENT) {
      throw new RangeError(`an event has more than ${LONGEST_EVENT} characters`);
    }
    return complete;
  }

  #finishLine(line, complete) {
    if (line === "") {
      if (this.#data.length > 0) complete.push(this.#data.join("\n"));
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field !== "data") return;
    const value = colon < 0 ? "" : line.slice(colon + 1);
    this.#data.push(value.startsWith(" ") ? value.slice(1) : value);
  }
}

/** The data of each event of `stream`, a ReadableStream of bytes in UTF-8. An event that the stream ends within is left out. */
export async function* events(stream) {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
