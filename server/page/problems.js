// What went wrong, and what to do about it.

import { element, button, foreign, announce } from "./dom.js";
import { counted } from "./format.js";

const OPTIONS = ["packs", "k", "exact", "strategy", "rerank", "where", "max_tokens", "max_completion_tokens", "temperature", "seed", "model"];

/**
 * Title, advice and remedy of a problem. The remedy is "retry", "wait" (retry when `retryAfter` is over), "key", "options" or "new"
 * (a new conversation).
 */
export function advice(problem) {
  const { kind, status, code, param, retryAfter } = problem;
  if (kind === "options") return ["The options need a change", "Change them, then ask again.", "options"];
  if (kind === "unreachable") return ["No connection", "Check that the server runs and that this machine reaches it, then try again.", "retry"];
  if (kind === "broken") return ["The answer is incomplete", "What arrived is shown. Try again; if it happens again, look at the server's log.", "retry"];
  if (status === 401) return ["A key is needed", "Enter an API key that this server knows.", "key"];
  if (status === 403) return ["The key does not allow this", "Enter another key, or choose packs that this key may read.", "key"];
  if (status === 429) {
    const until = retryAfter ? `Try again in ${counted(retryAfter, "second")}.` : "Try again in a moment.";
    return ["Too many requests", `The server is busy, or the quota of the key is used up. ${until}`, retryAfter ? "wait" : "retry"];
  }
  if (status === 413 || code === "context_length_exceeded") {
    return ["Too long", "Shorten the question, ask for fewer tokens, or begin a new conversation.", "new"];
  }
  if (status === 404) return ["Not found", "The model or a pack that was asked for is no longer served. Look at the options, then ask again.", "options"];
  if (status >= 400 && status < 500) {
    const option = OPTIONS.includes(param?.split(/[.[]/)[0]);
    return ["The server refuses the request", option ? `Change the option “${param}”, then ask again.` : "Change the question or the options.", "options"];
  }
  if (status === 503) return ["The server is not ready", "It is starting or shutting down. Try again in a moment.", retryAfter ? "wait" : "retry"];
  return ["The server failed", "Try again; if it happens again, look at the server's log.", "retry"];
}

const LABELS = { retry: "Try again", wait: "Try again", key: "Enter a key", options: "Show the options", new: "New conversation" };

/** Counts down on a button that may be used afterwards. It ends when the button has left the page. */
function countDown(node, seconds) {
  node.disabled = true;
  node.textContent = `Try again in ${seconds} s`;
  const until = performance.now() + seconds * 1000;
  const timer = setInterval(() => {
    const left = Math.ceil((until - performance.now()) / 1000);
    if (!node.isConnected) return clearInterval(timer);
    if (left > 0) {
      node.textContent = `Try again in ${left} s`;
      return undefined;
    }
    clearInterval(timer);
    node.disabled = false;
    node.textContent = LABELS.retry;
    announce("You can try again now.");
    return undefined;
  }, 250);
}

/** A box that shows a problem. `remedies` has functions by name of remedy; those without one have no button. */
export function problemBox(problem, remedies) {
  const [title, text, remedy] = advice(problem);
  const remedyOf = remedies[remedy] ?? (remedy === "wait" ? remedies.retry : undefined);
  const act = remedyOf && button(LABELS[remedy], remedyOf, "quiet remedy");
  const again = remedy !== "retry" && remedy !== "wait" && remedies.retry && button(LABELS.retry, remedies.retry, "quiet");
  const details = [problem.status ? `status ${problem.status}` : null, problem.code, problem.param && `parameter ${problem.param}`];
  const shown = details.filter(Boolean).join(" · ");
  const box = element(
    "div",
    { className: "problem" },
    // The buttons are not in what is read out: one of them counts seconds.
    element(
      "div",
      { role: "alert" },
      element("p", { className: "problem-title" }, title),
      element("p", { className: "problem-message", dir: "auto" }, problem.message),
      element("p", {}, text),
      shown ? element("p", { className: "fine" }, foreign(shown)) : null,
    ),
    act || again ? element("p", { className: "buttons" }, act, again || null) : null,
  );
  if (remedy === "wait" && act) countDown(act, problem.retryAfter);
  return box;
}
