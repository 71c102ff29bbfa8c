// The conversation: turns, the requests of each, and the buttons around them.

import { announce, silence } from "./dom.js";
import { Problem } from "./api.js";
import { enterKey } from "./key.js";
import { flagOption, readOptions, showOptions } from "./options.js";
import { problemBox } from "./problems.js";
import { Turn } from "./turn.js";

const log = document.getElementById("turns");
const welcome = document.getElementById("welcome");
const form = document.getElementById("composer");
const input = document.getElementById("question");
const askButton = document.getElementById("ask");
const stopButton = document.getElementById("stop");
const newButton = document.getElementById("new");
const compare = document.getElementById("compare");
const formProblem = document.getElementById("form-problem");

let turns = [];
/** The controllers of what is asked now. */
const running = new Set();
let preparing = false;
let refresh = async () => null;

/** The request of one side of a turn, after the turns before it. */
function requestOf(turn, side, options) {
  const earlier = turns.slice(0, turns.indexOf(turn)).flatMap((before) => before.messages(side));
  const request = {
    ...options.sampling,
    messages: [...earlier, { role: "user", content: turn.question }],
    stream: true,
    stream_options: { include_usage: true },
  };
  if (side === "without") return { ...request, memories: false };
  return { ...request, ...options.memories, citations: "tokens" };
}

/** Keeps the end of a growing answer in sight, until the reader scrolls. Gives what ends that. */
function follow(answer) {
  let expected = window.scrollY;
  const grown = new MutationObserver(() => {
    const hidden = answer.textNode.getBoundingClientRect().bottom + 16 - form.getBoundingClientRect().top;
    if (hidden > 0) window.scrollBy({ top: hidden });
    expected = window.scrollY;
  });
  const scrolled = () => Math.abs(window.scrollY - expected) > 8 && grown.disconnect();
  grown.observe(answer.textNode, { characterData: true, subtree: true });
  window.addEventListener("scroll", scrolled, { passive: true });
  return () => {
    grown.disconnect();
    window.removeEventListener("scroll", scrolled);
  };
}

function busy(on) {
  const focused = document.activeElement;
  askButton.hidden = on;
  stopButton.hidden = !on;
  form.setAttribute("aria-busy", String(on));
  if (on && focused === askButton) stopButton.focus({ preventScroll: true });
  if (!on && focused === stopButton) input.focus({ preventScroll: true });
}

/** Reads the options, or shows what is wrong with them and gives null. */
function options() {
  formProblem.replaceChildren();
  try {
    return readOptions();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    flagOption(error.param, error.message);
    formProblem.append(problemBox(error, { options: showOptions }));
    return null;
  }
}

/** Asks the given answers of a turn at the same time. */
async function run(turn, answers, chosen) {
  const controller = new AbortController();
  running.add(controller);
  busy(true);
  const one = async (answer) => {
    const again = () => retry(turn, answer);
    const remedies = {
      retry: again,
      options: showOptions,
      new: startAnew,
      key: async () => (await enterKey(true)) && again(),
    };
    const problem = await turn.ask(answer, requestOf(turn, answer.side, chosen), controller.signal, remedies);
    if (problem?.param) flagOption(problem.param, problem.message);
  };
  const unfollow = follow(answers[0]);
  try {
    await Promise.all(answers.map(one));
  } finally {
    unfollow();
    if (running.delete(controller) && running.size === 0) {
      busy(false);
      announce(turn.summary());
    }
  }
}

/** The options, after what the server has was loaded, if it was not before; null when one of both fails, which is then shown. */
async function prepared() {
  if (preparing) return null;
  const chosen = options();
  if (chosen === null || chosen.sampling.model) return chosen;
  preparing = true;
  const problem = await refresh().finally(() => (preparing = false));
  if (problem === null) return options();
  formProblem.append(problemBox(problem, { retry: ask, key: async () => (await enterKey(problem.status === 403)) && ask() }));
  return null;
}

async function retry(turn, answer) {
  const chosen = await prepared();
  if (chosen === null || turn !== turns.at(-1) || answer.node.getAttribute("aria-busy") === "true") return;
  turn.node.querySelector("h2").focus({ preventScroll: true });
  run(turn, [answer], chosen);
}

async function ask() {
  const question = input.value.trim();
  if (question === "" || running.size > 0) return;
  const chosen = await prepared();
  if (chosen === null || running.size > 0) return;
  for (const node of log.querySelectorAll(".problem .buttons")) node.remove();
  silence();
  const turn = new Turn(question, compare.checked);
  turns.push(turn);
  welcome.hidden = true;
  newButton.hidden = false;
  log.append(turn.node);
  input.value = "";
  grow();
  turn.node.scrollIntoView({ block: "start" });
  announce("The question is sent.");
  run(turn, turn.answers, chosen);
}

function stop() {
  for (const controller of running) controller.abort();
}

/** Stops what runs, forgets all turns and waits for a first question. */
function startAnew() {
  stop();
  running.clear();
  busy(false);
  turns = [];
  log.replaceChildren();
  formProblem.replaceChildren();
  silence();
  welcome.hidden = false;
  newButton.hidden = true;
  window.scrollTo({ top: 0 });
  input.focus();
  announce("A new conversation.");
}

/** Makes the field as high as its text, up to a third of the window. */
function grow() {
  input.style.blockSize = "auto";
  input.style.blockSize = `${Math.min(input.scrollHeight + 2, window.innerHeight / 3)}px`;
}

/** Connects the form and the buttons. `load` loads what the server has, and gives the problem with that, or null. */
export function connectConversation(load) {
  refresh = load;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      ask();
    } else if (event.key === "Escape") {
      stop();
    }
  });
  input.addEventListener("input", grow);
  stopButton.addEventListener("click", stop);
  newButton.addEventListener("click", startAnew);
}
