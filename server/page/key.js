// The API key: entered when the server demands one, kept in this tab only.

import { hasKey, onKeyNeeded, useKey } from "./api.js";
import { announce } from "./dom.js";

const dialog = document.getElementById("key-dialog");
const form = dialog.querySelector("form");
const input = document.getElementById("key");
const refusedText = document.getElementById("key-refused");
const open = document.getElementById("key-open");
const forget = document.getElementById("key-forget");

let settle = null;

function show() {
  open.hidden = !hasKey();
  forget.hidden = !hasKey();
}

function finish(taken) {
  const done = settle;
  settle = null;
  input.value = "";
  if (dialog.open) dialog.close();
  show();
  done?.(taken);
}

/** Opens the dialog; gives whether a key was taken. */
export function enterKey(refused = false) {
  settle?.(false);
  refusedText.textContent = "The server refused this key. Check that it is complete and not revoked.";
  refusedText.hidden = !refused;
  input.setAttribute("aria-invalid", String(refused));
  if (!dialog.open) dialog.showModal();
  input.focus();
  return new Promise((resolve) => (settle = resolve));
}

/** Connects the dialog. `changed` is called when the user has taken another key, or none, without being asked. */
export function connectKey(changed) {
  onKeyNeeded(enterKey);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const key = input.value.trim();
    if (key === "") return;
    if (!/^[\x21-\x7e]+$/.test(key)) {
      refusedText.textContent = "A key has no blanks and only characters of ASCII. Copy it again.";
      refusedText.hidden = false;
      input.setAttribute("aria-invalid", "true");
      return;
    }
    useKey(key);
    announce("The key is used from now on.");
    finish(true);
  });
  dialog.addEventListener("close", () => finish(false));
  document.getElementById("key-cancel").addEventListener("click", () => finish(false));
  forget.addEventListener("click", () => {
    useKey(null);
    announce("The key is forgotten.");
    finish(false);
  });
  open.addEventListener("click", async () => {
    if (await enterKey()) changed();
  });
  show();
}
