// The server, as this page asks it. The key is in this object's memory and nowhere else.

import { EventParser } from "./events.js";

/** A refusal, in the server's own words where it had any. */
export class Problem extends Error {
  constructor(message, { status = 0, code = "", param = null, retryAfterS = null, requestId = null } = {}) {
    super(message);
    Object.assign(this, { status, code, param, retryAfterS, requestId });
  }
}

/** Whether the user, and not a fault, ended a request. */
export const isStop = (error) => error?.name === "AbortError";

export class Api {
  #key = "";

  get hasKey() {
    return this.#key !== "";
  }

  /** Take a key. Raises Problem for text that no header may hold. */
  useKey(key) {
    const text = key.trim();
    if (!/^[\x21-\x7e]*$/.test(text)) {
      throw new Problem("The key holds characters that no key has: paste it again, from sk- to its end.");
    }
    this.#key = text;
  }

  /** The full address of a route, for people to copy. */
  address(path) {
    return new URL(path.replace(/^\//, ""), document.baseURI).href;
  }

  /** The JSON of an answer; with `allowed`, also of those refusals that are answers too (503 of /startupz). */
  async get(path, { allowed = [], signal = null } = {}) {
    const response = await this.#fetch(path, { signal });
    if (!response.ok && !allowed.includes(response.status)) throw await problemOf(response);
    return response.json();
  }

  /**
   * Post a body and yield the data of each event of the answer, until [DONE].
   *
   * Aborting the signal closes the connection, which is how the server learns of it.
   * Raises Problem for refusals, errors within the stream, and streams that end too soon.
   */
  async *stream(path, body, signal, onHeaders = () => {}) {
    const response = await this.#fetch(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
      signal,
    });
    if (!response.ok) throw await problemOf(response);
    const requestId = response.headers.get("x-request-id");
    onHeaders(requestId);
    const parser = new EventParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await read(reader, requestId);
      if (done) break;
      for (const data of parser.feed(decoder.decode(value, { stream: true }))) {
        if (data === "[DONE]") return;
        const event = JSON.parse(data);
        if (event.error) throw new Problem(event.error.message, { ...event.error, status: 200, requestId });
        yield event;
      }
    }
    throw new Problem("The stream ended before the answer was complete: the connection broke off.", { requestId });
  }

  async #fetch(path, { headers = {}, ...options }) {
    const key = this.#key ? { authorization: `Bearer ${this.#key}` } : {};
    try {
      return await fetch(this.address(path), {
        ...options,
        headers: { ...headers, ...key },
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        referrerPolicy: "no-referrer",
      });
    } catch (error) {
      if (isStop(error)) throw error;
      throw new Problem("The server does not answer. Is it running, and is this address still its own?", { code: "no_answer" });
    }
  }
}

async function read(reader, requestId) {
  try {
    return await reader.read();
  } catch (error) {
    if (isStop(error)) throw error;
    throw new Problem("The connection broke off in the middle of the answer.", { requestId });
  }
}

/** A refusal in OpenAI's envelope, or whatever a proxy in between wrote. */
async function problemOf(response) {
  const facts = {
    status: response.status,
    retryAfterS: Number(response.headers.get("retry-after")) || null,
    requestId: response.headers.get("x-request-id"),
  };
  try {
    const { error } = await response.json();
    return new Problem(error.message, { ...facts, code: error.code, param: error.param });
  } catch {
    return new Problem(`The answer was ${response.status} ${response.statusText}, without a message.`, facts);
  }
}
