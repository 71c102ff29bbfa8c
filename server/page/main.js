// Puts the parts of the page together.

import { get, Problem } from "./api.js";
import { announce } from "./dom.js";
import { connectConversation } from "./conversation.js";
import { counted } from "./format.js";
import { connectKey } from "./key.js";
import { connectOptions, offerModels, offerPacks } from "./options.js";
import { loadPacks } from "./packs.js";
import { themeButton } from "./theme.js";

const views = { ask: document.getElementById("view-ask"), packs: document.getElementById("view-packs") };
const served = document.getElementById("served");

async function listModels() {
  const { data } = await get("/v1/models");
  if (!Array.isArray(data)) throw new Problem("broken", "the list of models is not a list");
  return data;
}

/** Loads what the server has, for both views. Gives the problem with that, or null. */
async function load() {
  const [packs, models] = await Promise.allSettled([loadPacks(load), listModels()]);
  if (packs.status === "fulfilled") offerPacks(packs.value);
  if (models.status === "fulfilled") offerModels(models.value);
  const names = (models.value ?? []).map((model) => model.id);
  served.textContent = [...names, ...(packs.value ? [counted(packs.value.length, "pack")] : [])].join(" · ");
  const failed = [packs, models].map((loaded) => loaded.reason).filter(Boolean);
  const unexpected = failed.find((error) => !(error instanceof Problem));
  if (unexpected) throw unexpected;
  return failed[0] ?? null;
}

function show() {
  const name = location.hash === "#packs" ? "packs" : "ask";
  for (const [view, node] of Object.entries(views)) {
    node.hidden = view !== name;
    const link = document.querySelector(`nav a[href="#${view}"]`);
    if (view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = name === "packs" ? "Packs – mempack" : "Ask – mempack";
}

/** Puts the focus where the view begins: at the question, or at the heading. */
function toContent() {
  const start = views.ask.hidden ? document.getElementById("packs-title") : document.getElementById("question");
  start.focus({ preventScroll: true });
}

/** Tells the style sheet how high the bars at the edges are, so that what gets the focus is not behind them. */
function measure() {
  const composer = document.getElementById("composer");
  const header = document.querySelector("header");
  const set = () => {
    document.documentElement.style.setProperty("--composer", `${views.ask.hidden ? 0 : composer.offsetHeight}px`);
    document.documentElement.style.setProperty("--header", `${header.offsetHeight}px`);
  };
  const observer = new ResizeObserver(set);
  observer.observe(composer);
  observer.observe(header);
}

themeButton(document.getElementById("theme"));
connectKey(load);
connectOptions();
connectConversation(load);
measure();
show();
window.addEventListener("hashchange", () => {
  show();
  window.scrollTo({ top: 0 });
  toContent();
  if (location.hash === "#packs") load();
});
document.getElementById("skip").addEventListener("click", toContent);
document.getElementById("refresh").addEventListener("click", async () => {
  const problem = await load();
  if (problem === null) announce("The packs are up to date.");
});
document.documentElement.dataset.ready = "true";
load();
