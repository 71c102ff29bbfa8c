// Requests to the server, and what can go wrong with them.

import { events } from "./sse.js";

const STORED = "mempack.key";

/**
 * Why a request has no answer. `status` is that of HTTP; 0: the server was not reached; `kind` is "refused" (the server said so),
 * "unreachable", "broken" (the answer ended early or is not what was asked for) or "options" (this page did not send it).
 * `retryAfter` is in seconds, or null.
 */
export class Problem extends Error {
  constructor(kind, message, { status = 0, type = null, param = null, code = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { kind, status, type, param, code, retryAfter });
  }
}

let key = null;
try {
  key = sessionStorage.getItem(STORED);
} catch {
  // Where nothing can be stored, the key lasts as long as the page.
}

export function hasKey() {
  return key !== null;
}

/** Takes another key, or none, for all requests from now on. It is kept until the tab is closed. */
export function useKey(value) {
  key = value;
  try {
    if (value === null) sessionStorage.removeItem(STORED);
    else sessionStorage.setItem(STORED, value);
  } catch {
    // As above.
  }
}

let askForKey = async () => false;
let asking = null;

/** `ask(refused)` lets the user enter a key and gives whether one was taken; `refused`: the server has refused the present one. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** `Retry-After` in seconds: a number of them, or a date. */
export function retrySeconds(header, now = Date.now()) {
  if (header === null || header.trim() === "") return null;
  const seconds = /^\s*\d+\s*$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(Math.ceil(seconds), 0), 24 * 3600) : null;
}

function problemOf(error, status = 0, retryAfter = null) {
  const text = (value) => (typeof value === "string" && value !== "" ? value : null);
  const message = text(error?.message) ?? (status ? `the server answered with status ${status}` : "the server gave no reason");
  return new Problem("refused", message, { status, type: text(error?.type), param: text(error?.param), code: text(error?.code), retryAfter });
}

async function refusal(response) {
  let error = null;
  try {
    error = (await response.json()).error;
  } catch {
    // Not in OpenAI's form: the status is all there is.
  }
  return problemOf(error, response.status, retrySeconds(response.headers.get("retry-after")));
}

/** Sends a request, and asks for a key as often as the server demands one. `started` is called when a request leaves. */
async function send(path, init, started = () => {}) {
  for (;;) {
    const used = key;
    const headers = { ...init.headers, ...(used === null ? {} : { authorization: `Bearer ${used}` }) };
    let response;
    started();
    try {
      response = await fetch(path, { ...init, headers, cache: "no-store", credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("unreachable", "the server cannot be reached");
    }
    if (response.ok) return response;
    const problem = await refusal(response);
    if (problem.status !== 401) throw problem;
    if (key === used) {
      asking ??= askForKey(used !== null).finally(() => (asking = null));
      if (!(await asking)) throw problem;
      init.signal?.throwIfAborted();
    }
  }
}

/** What the server has at `path`, as JSON. */
export async function get(path) {
  const response = await send(path, {});
  try {
    return await response.json();
  } catch {
    throw new Problem("broken", "what the server sent is not JSON");
  }
}

/**
 * Asks for a completion and reads its stream.
 *
 * `onText` gets each piece of the answer. Gives `{annotations, tokens, finish, usage, milliseconds: {first, total}}`: what the answer leaned on
 * (`tokens` is null without attention), why it ended, OpenAI's usage or null, and the times since the request left.
 */
export async function complete(request, { signal, onText }) {
  const result = { annotations: [], tokens: null, finish: null, usage: null, milliseconds: { first: null, total: null } };
  let began = 0;
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request), signal };
  const response = await send("/v1/chat/completions", init, () => (began = performance.now()));
  if (!/^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "")) {
    await response.body?.cancel();
    throw new Problem("broken", "the server sent no stream of events");
  }
  try {
    for await (const data of events(response.body)) {
      if (data === "[DONE]") {
        result.milliseconds.total = performance.now() - began;
        return result;
      }
      take(JSON.parse(data), result, (text) => {
        result.milliseconds.first ??= performance.now() - began;
        onText(text);
      });
    }
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    const reason = error instanceof SyntaxError ? "an event of the stream is not JSON" : "the connection was lost";
    throw new Problem("broken", `${reason} before the answer was complete`);
  }
  throw new Problem("broken", "the stream ended before the answer was complete");
}

function take(event, result, onText) {
  if (event?.error) throw problemOf(event.error);
  if (event?.usage) result.usage = event.usage;
  const choice = event?.choices?.[0];
  if (!choice) return;
  const { content, annotations } = choice.delta ?? {};
  if (typeof content === "string" && content !== "") onText(content);
  if (Array.isArray(annotations)) result.annotations.push(...annotations);
  if (Array.isArray(choice.attention?.tokens)) result.tokens = choice.attention.tokens;
  if (choice.finish_reason) result.finish = choice.finish_reason;
}
