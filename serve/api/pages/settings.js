// The parameters of a request, as the form has them. Ranges are the server's to judge.

import { Problem } from "./api.js";
import { byId } from "./dom.js";

const NUMBERS = ["temperature", "top_p", "max_tokens", "seed"];
const WHOLE = new Set(["max_tokens", "seed"]);
const INPUTS = { stop: "stop-strings", messages: "system" };

/** The body of a chat. Raises Problem for text that is no number. */
export function bodyOf(model, messages) {
  const system = byId("system").value.trim();
  return {
    model,
    messages: system ? [{ role: "system", content: system }, ...messages] : messages,
    ...numbers(),
    ...stops(),
    stream: true,
    stream_options: { include_usage: true },
  };
}

function numbers() {
  const given = {};
  for (const name of NUMBERS) {
    const input = byId(name);
    if (input.validity.badInput) throw new Problem(`${name} is not a number.`, { param: name });
    if (input.value === "") continue;
    given[name] = Number(input.value);
    if (WHOLE.has(name) && Number.isInteger(given[name]) && !Number.isSafeInteger(given[name])) {
      const most = Number.MAX_SAFE_INTEGER;
      throw new Problem(`${name} is ${input.value}: a browser keeps whole numbers up to ${most}.`, { param: name });
    }
  }
  return given;
}

function stops() {
  const lines = byId("stop-strings").value.split("\n").filter((line) => line !== "");
  return lines.length ? { stop: lines.map((line) => line.replaceAll("\\n", "\n").replaceAll("\\t", "\t")) } : {};
}

/** Mark the field that a refusal names, or none. */
export function markField(param) {
  for (const name of [...NUMBERS, ...Object.keys(INPUTS)]) {
    const input = byId(INPUTS[name] ?? name);
    input.toggleAttribute("aria-invalid", false);
    if (name !== "messages" && param?.split(/[.[]/, 1)[0] === name) input.setAttribute("aria-invalid", "true");
  }
}
