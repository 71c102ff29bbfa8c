// One answer: it comes piece by piece, and says how long it took.

import { complete } from "./api.js";
import { sentencesOf } from "./attention.js";
import { descriptions, element, speak } from "./dom.js";
import { count, decimal, duration } from "./format.js";
import { problemBox } from "./problems.js";

/** How an answer ended, where that needs a word. */
const ENDINGS = { length: "Cut off: the most tokens were reached.", content_filter: "The server withheld the rest." };

/** An answer of a turn: `side` is "with" or "without" memories. */
export class Answer {
  /** `spoken`: its sentences are read to screen readers as they come. */
  constructor(side, label, { spoken }) {
    this.side = side;
    this.text = "";
    this.state = "waiting";
    this.result = null;
    this.spoken = spoken;
    this.said = 0;
    this.textNode = element("div", { className: "text", dir: "auto", tabIndex: -1 });
    this.status = element("span", { className: "answer-status" }, "waiting");
    this.after = element("div", { className: "answer-after" });
    const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.node = element(
      "section",
      { className: "answer", "data-side": side, "aria-labelledby": `answer-${id}` },
      element("h3", { className: "answer-head" }, element("span", { id: `answer-${id}` }, label), this.status),
      this.textNode,
      this.after,
    );
  }

  /** Asks `request`. Never fails: what goes wrong is shown, with the functions of `remedies`, and given back, or null. */
  async ask(request, signal, remedies) {
    this.#begin();
    try {
      this.result = await complete(request, { signal, onText: (piece) => this.#grow(piece) });
      this.#end("complete", "");
      this.#figures();
      return null;
    } catch (error) {
      if (signal.aborted) {
        this.#end("stopped", "stopped");
        this.after.append(element("p", { className: "fine" }, "You stopped this answer. Its passages come with its end, so none are shown."));
        return null;
      }
      this.#end("failed", "failed");
      if (!("kind" in error)) throw error;
      this.after.append(problemBox(error, remedies));
      return error;
    }
  }

  #begin() {
    this.text = "";
    this.said = 0;
    this.result = null;
    this.textNode.replaceChildren();
    this.piece = document.createTextNode("");
    this.textNode.append(this.piece);
    this.after.replaceChildren();
    this.#state("waiting", "waiting");
    this.node.setAttribute("aria-busy", "true");
  }

  #state(state, word) {
    this.state = state;
    this.node.dataset.state = state;
    this.status.textContent = word;
  }

  #grow(piece) {
    if (this.state === "waiting") this.#state("writing", "writing");
    this.text += piece;
    this.piece.appendData(piece);
    if (this.spoken && /[.!?。！？\n]\s*$/.test(piece)) this.#say(false);
  }

  /** Reads out the sentences that are complete and have not been read. */
  #say(rest) {
    const unsaid = this.text.slice(this.said);
    const sentences = sentencesOf(unsaid);
    const until = rest ? unsaid.length : (sentences.at(-1)?.start ?? 0);
    const words = unsaid.slice(0, until).trim();
    if (words !== "") speak(words);
    this.said += until;
  }

  #end(state, word) {
    if (this.spoken) this.#say(true);
    this.#state(state, word);
    this.node.setAttribute("aria-busy", "false");
    if (state === "complete" && this.text === "") this.textNode.append(element("span", { className: "fine" }, "The answer is empty."));
  }

  #figures() {
    const { milliseconds, usage, finish } = this.result;
    const written = usage?.completion_tokens;
    const prompt = usage?.prompt_tokens;
    const cached = usage?.prompt_tokens_details?.cached_tokens;
    const seconds = (milliseconds.total - milliseconds.first) / 1000;
    const rate = written > 1 && seconds > 0 ? `${decimal((written - 1) / seconds, 1)} tokens/s` : null;
    if (ENDINGS[finish]) this.after.append(element("p", { className: "fine" }, ENDINGS[finish]));
    this.after.append(
      descriptions("figures", [
        ["First token", milliseconds.first === null ? null : duration(milliseconds.first)],
        ["Total", duration(milliseconds.total)],
        ["Tokens", written === undefined ? null : count(written)],
        ["Speed", rate],
        ["Prompt", prompt === undefined ? null : `${count(prompt)} tokens${cached > 0 ? `, ${count(cached)} cached` : ""}`],
      ]),
    );
  }
}
