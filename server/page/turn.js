// One turn of the conversation: a question, its answer, on demand the answer without memories, and the passages.

import { Answer } from "./answer.js";
import { leanings } from "./attention.js";
import { showCited } from "./cited.js";
import { element } from "./dom.js";
import { counted } from "./format.js";

let turns = 0;

/** A turn. `node` is what the page shows. */
export class Turn {
  constructor(question, compare) {
    turns += 1;
    this.id = `turn-${turns}`;
    this.question = question;
    this.with = new Answer("with", compare ? "With memories" : "Answer", { spoken: true });
    this.without = compare ? new Answer("without", "Without memories", { spoken: false }) : null;
    this.heading = element("h3", { className: "passages-head" }, "Passages");
    this.note = element("p", { className: "fine" });
    this.list = element("ol", { className: "passage-list" });
    const headingId = `${this.id}-question`;
    this.passages = element("section", { className: "passages", hidden: true, "aria-label": "Passages" }, this.heading, this.note, this.list);
    this.node = element(
      "article",
      { className: "turn", id: this.id, "aria-labelledby": headingId },
      element("h2", { className: "question", id: headingId, dir: "auto", tabIndex: -1 }, question),
      element("div", { className: `answers${compare ? " compared" : ""}` }, this.with.node, this.without?.node),
      this.passages,
    );
  }

  get answers() {
    return this.without ? [this.with, this.without] : [this.with];
  }

  /** Asks one answer's request. Gives the problem, or null. */
  async ask(answer, request, signal, remedies) {
    if (answer === this.with) this.passages.hidden = true;
    const problem = await answer.ask(request, signal, remedies);
    if (answer === this.with && answer.state === "complete") this.#cite();
    return problem;
  }

  /** The turn as messages of a request that reads memories or not, or none while there is no such answer. */
  messages(side) {
    const own = side === "without" && this.without?.text ? this.without : this.with;
    if (own.text === "") return [];
    return [
      { role: "user", content: this.question },
      { role: "assistant", content: own.text },
    ];
  }

  /** What a screen reader is told when the turn is over. */
  summary() {
    const states = { complete: "Answer complete.", stopped: "Answer stopped.", failed: "No complete answer." };
    const passages = this.passages.hidden ? "" : ` ${counted(this.list.children.length, "passage")}.`;
    return `${states[this.with.state] ?? ""}${passages}`;
  }

  #cite() {
    const { annotations, tokens } = this.with.result;
    const found = leanings(this.with.text, annotations, tokens);
    showCited({ text: this.with.text, leanings: found, textNode: this.with.textNode, listNode: this.list, prefix: this.id });
    this.passages.hidden = false;
    const measured = found.passages.some((passage) => passage.share !== null);
    this.heading.textContent = measured ? "Passages by attention" : "Passages by similarity";
    if (found.passages.length === 0) this.note.textContent = "This answer read no passages.";
    else if (!tokens) this.note.textContent = "The server gave no attention for each token, so sentences have no marks.";
    else this.note.textContent = "Mean share over the answer’s tokens.";
  }
}
