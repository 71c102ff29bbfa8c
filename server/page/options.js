// The options of a question: what the form says, as fields of a request.

import { Problem } from "./api.js";
import { element, foreign } from "./dom.js";
import { counted } from "./format.js";

const panel = document.getElementById("options");
const summary = document.getElementById("options-summary");
const choices = document.getElementById("pack-choices");
const fields = document.getElementById("known-fields");
const models = document.getElementById("model");
const strategy = document.getElementById("strategy");
const strategyValue = document.getElementById("strategy-value");

/** The field of a request that each control stands for. */
const CONTROLS = {
  model: models,
  packs: choices,
  k: document.getElementById("k"),
  exact: document.getElementById("exact"),
  strategy,
  rerank: document.getElementById("rerank"),
  where: document.getElementById("where"),
  max_tokens: document.getElementById("max-tokens"),
  temperature: document.getElementById("temperature"),
  seed: document.getElementById("seed"),
};

function boxes() {
  return [...choices.querySelectorAll("input")];
}

function number(name) {
  const control = CONTROLS[name];
  if (!control.checkValidity()) throw new Problem("options", control.validationMessage, { param: name });
  return control.value === "" ? undefined : control.valueAsNumber;
}

function chosenStrategy() {
  if (strategy.value === "") return undefined;
  if (!takesValue() || strategyValue.value === "") return strategy.value;
  if (!strategyValue.checkValidity()) throw new Problem("options", strategyValue.validationMessage, { param: "strategy" });
  return `${strategy.value}:${strategyValue.value}`;
}

function takesValue() {
  return strategy.value === "similarity" || strategy.value === "diverse";
}

function chosenPacks() {
  const all = boxes();
  const chosen = all.filter((box) => box.checked);
  if (all.length > 0 && chosen.length === 0) throw new Problem("options", "No pack is chosen.", { param: "packs" });
  return chosen.length === all.length ? undefined : chosen.map((box) => box.value);
}

/** The fields of a request that the options stand for, in two parts: those of every request, and those about memories. */
export function readOptions() {
  const sampling = {
    model: models.value || undefined,
    max_tokens: number("max_tokens"),
    temperature: number("temperature"),
    seed: number("seed"),
  };
  const memories = {
    packs: chosenPacks(),
    k: number("k"),
    exact: CONTROLS.exact.checked || undefined,
    strategy: chosenStrategy(),
    rerank: CONTROLS.rerank.checked || undefined,
    where: CONTROLS.where.value.trim() || undefined,
  };
  return { sampling, memories };
}

function summarize() {
  const all = boxes();
  const chosen = all.filter((box) => box.checked).length;
  const parts = [chosen === all.length ? "all packs" : `${chosen} of ${counted(all.length, "pack")}`];
  const shown = { k: "k", max_tokens: "at most tokens", temperature: "temperature", seed: "seed" };
  for (const [name, label] of Object.entries(shown)) {
    const value = CONTROLS[name].value;
    if (value !== "") parts.push(name === "max_tokens" ? `at most ${value} tokens` : `${label} ${value}`);
  }
  if (CONTROLS.exact.checked) parts.push("exact");
  if (CONTROLS.rerank.checked) parts.push("reranked");
  if (strategy.value !== "") parts.push(strategy.value);
  if (CONTROLS.where.value.trim() !== "") parts.push("filtered");
  summary.textContent = parts.join(" · ");
  strategyValue.disabled = !takesValue();
}

/** Shows the packs that may be chosen. A pack that was switched off stays so. */
export function offerPacks(packs) {
  const off = new Set(boxes().filter((box) => !box.checked).map((box) => box.value));
  choices.replaceChildren(
    ...packs.map((pack, index) => {
      const box = element("input", { type: "checkbox", id: `pack-${index}`, value: pack.name, checked: !off.has(pack.name) });
      return element("label", { className: "choice", htmlFor: box.id }, box, foreign(pack.name));
    }),
  );
  if (packs.length === 0) choices.append(element("p", { className: "fine" }, "No pack is mounted."));
  const known = [...new Set(packs.flatMap((pack) => pack.fields ?? []))].sort();
  fields.replaceChildren();
  if (known.length > 0) {
    fields.append("Fields: ");
    known.forEach((field, index) => fields.append(index > 0 ? ", " : "", foreign(field)));
  } else {
    fields.append("These packs have no fields.");
  }
  summarize();
}

/** Shows the models that may be asked. */
export function offerModels(list) {
  const before = models.value;
  models.replaceChildren(...list.map((model) => element("option", { value: model.id }, model.id)));
  if (list.some((model) => model.id === before)) models.value = before;
  models.closest(".field").hidden = list.length < 2;
}

/** Shows beside its control what is wrong with an option. Gives whether there is such a control. */
export function flagOption(param, message) {
  const control = CONTROLS[param === "max_completion_tokens" ? "max_tokens" : param?.split(/[.[]/)[0]];
  if (!control) return false;
  unflag(control);
  const id = `${control.id}-error`;
  control.dataset.invalid = "true";
  if (control !== choices) control.setAttribute("aria-invalid", "true");
  control.dataset.described = control.getAttribute("aria-describedby") ?? "";
  control.setAttribute("aria-describedby", `${control.dataset.described} ${id}`.trim());
  control.closest(".field").append(element("p", { className: "field-error", id, dir: "auto" }, message));
  return true;
}

function unflag(control) {
  if (!control.dataset.invalid) return;
  delete control.dataset.invalid;
  control.removeAttribute("aria-invalid");
  document.getElementById(`${control.id}-error`)?.remove();
  if (control.dataset.described) control.setAttribute("aria-describedby", control.dataset.described);
  else control.removeAttribute("aria-describedby");
}

/** Opens the options, at the first that is wrong. */
export function showOptions() {
  panel.open = true;
  const wrong = panel.querySelector("[data-invalid]");
  const target = wrong?.matches("input, select") ? wrong : wrong?.querySelector("input");
  (target ?? panel.querySelector("summary")).focus();
}

/** Connects the form of options. */
export function connectOptions() {
  const changed = (event) => {
    for (const control of Object.values(CONTROLS)) {
      if (control.contains(event.target) || (event.target === strategyValue && control === strategy)) unflag(control);
    }
    summarize();
  };
  panel.addEventListener("input", changed);
  panel.addEventListener("change", changed);
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    panel.open = false;
    panel.querySelector("summary").focus();
    event.stopPropagation();
  });
  summarize();
}
