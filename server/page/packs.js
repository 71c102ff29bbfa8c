// The packs that the server has mounted.

import { get, Problem } from "./api.js";
import { announce, button, descriptions, element, foreign } from "./dom.js";
import { count, counted, day, decimal, percent, size } from "./format.js";
import { enterKey } from "./key.js";
import { problemBox } from "./problems.js";

const list = document.getElementById("pack-list");
const total = document.getElementById("pack-total");

/** A long name in hexadecimal digits: whole in the document, cut to one line on the screen, and with a button that copies it. */
function digits(value, what) {
  const text = element("code", { className: "digits" }, value);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      announce(`The ${what} is copied.`);
    } catch {
      announce("The browser does not let this page copy.");
    }
  };
  const copyButton = button("Copy", copy, "quiet small");
  copyButton.setAttribute("aria-label", `Copy the ${what}`);
  return element("span", { className: "digits-line" }, text, navigator.clipboard ? copyButton : null);
}

/** Two figures of a codec's loss, or why there are none. */
function lossOf(pack) {
  if (!pack.quality) return [["Codec loss", /^F32$/i.test(pack.codec ?? "") ? "none: F32 is lossless" : "not measured"]];
  const { memory_error: error, divergence } = pack.quality;
  return [
    ["Codec loss", Number.isFinite(error) ? `${percent(error)} of keys and values` : "not measured"],
    ["Divergence", Number.isFinite(divergence) ? `${decimal(divergence, 4)} nats per token` : "not measured"],
  ];
}

function card(pack) {
  const keys = pack.signed_by ?? [];
  const badge = keys.length > 0 ? ["badge good", "signed"] : ["badge", "not signed"];
  const fields = (pack.fields ?? []).flatMap((field, index) => [index > 0 ? ", " : "", foreign(field)]);
  return element(
    "li",
    { className: "pack" },
    element("h3", { className: "pack-name" }, foreign(pack.name), element("span", { className: badge[0] }, badge[1])),
    descriptions("pack-figures", [
      ["Size", size(pack.bytes)],
      ["References", count(pack.references)],
      ["Documents", count(pack.documents)],
    ]),
    descriptions("facts", [
      ["Codec", foreign(pack.codec)],
      ...lossOf(pack),
      ["Model", foreign(pack.model)],
      ["Created", pack.created === null || pack.created === undefined ? null : day(pack.created)],
      ["Fields", fields.length > 0 ? element("span", {}, ...fields) : null],
      ["Id", digits(pack.id, `id of ${pack.name}`)],
      ["Signed by", keys.length > 0 ? element("span", {}, ...keys.map((key) => digits(key, "public key"))) : null],
    ]),
  );
}

function show(packs) {
  list.replaceChildren(...packs.map(card));
  const references = packs.reduce((sum, pack) => sum + (pack.references ?? 0), 0);
  const bytes = packs.reduce((sum, pack) => sum + (pack.bytes ?? 0), 0);
  total.textContent =
    packs.length === 0 ? "No pack is mounted." : `${counted(packs.length, "pack")}, ${counted(references, "reference")}, ${size(bytes)}`;
}

/** Loads the packs and shows them. Gives them; a failure is shown and thrown. */
export async function loadPacks(again) {
  list.setAttribute("aria-busy", "true");
  try {
    const { data } = await get("/packs");
    if (!Array.isArray(data)) throw new Problem("broken", "the list of packs is not a list");
    show(data);
    return data;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    total.textContent = "";
    const remedies = { retry: again, key: async () => (await enterKey(error.status === 403)) && again() };
    list.replaceChildren(element("li", {}, problemBox(error, remedies)));
    throw error;
  } finally {
    list.setAttribute("aria-busy", "false");
  }
}
