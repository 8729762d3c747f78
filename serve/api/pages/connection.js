// The way to an answer: the key where one is wanted, progress while the model loads, and what is
// wrong otherwise, in the server's own words.

import { byId, element } from "./dom.js";

const POLL_MS = 500;
const LONGEST_WAIT_S = 10;
const IN_BYTES = new Set(["download", "verify_source", "quantize", "measure", "verify", "load_weights"]);

export class Connection {
  #api; #onModels; #onKey; #timer = null; #attempt = 0; #failures = 0;

  /** `onModels` is told of the cards of /v1/models and the answer of /version, if any; `onKey` that there is another key, or none. */
  constructor(api, { onModels, onKey }) {
    this.#api = api;
    this.#onModels = onModels;
    this.#onKey = onKey;
    byId("key-form").addEventListener("submit", (event) => this.#takeKey(event));
    byId("key-forget").addEventListener("click", () => this.#forgetKey());
    byId("key-button").addEventListener("click", () => (byId("key-panel").hidden ? this.askForKey("") : this.#hideKey()));
    byId("state-again").addEventListener("click", () => this.connect());
  }

  /** Ask for the models, until there are some. A later call takes the place of an earlier one. */
  async connect() {
    const attempt = ++this.#attempt;
    clearTimeout(this.#timer);
    try {
      const models = (await this.#api.get("v1/models")).data;
      const version = await this.#api.get("version").catch(() => null); // nice to have
      if (attempt !== this.#attempt) return;
      this.#failures = 0;
      byId("state").hidden = true;
      this.#onModels(models, version);
    } catch (problem) {
      if (attempt === this.#attempt) this.explain(problem);
    }
  }

  /** Show what a problem of any request asks for: a key, patience, or another try. */
  explain(problem) {
    if (problem.status === 401 || (problem.status === 403 && this.#api.hasKey)) {
      byId("state").hidden = true;
      this.askForKey(problem.message);
    } else if (problem.code === "not_ready") {
      this.#watchStart(++this.#attempt);
    } else {
      const waitS = Math.min(problem.retryAfterS ?? 2 ** ++this.#failures, LONGEST_WAIT_S);
      const title = problem.code === "no_answer" ? "No answer" : "The server does not serve this page now";
      this.#show(title, `${problem.message} This page asks again in ${waitS} s.`, { canTry: true });
      this.#later(() => this.connect(), waitS * 1000);
    }
  }

  askForKey(reason) {
    byId("key-reason").textContent = reason;
    byId("key-panel").hidden = false;
    byId("key-button").setAttribute("aria-expanded", "true");
    byId("key").setAttribute("aria-invalid", String(Boolean(reason) && this.#api.hasKey));
    byId("key").focus();
  }

  #hideKey() {
    byId("key-panel").hidden = true;
    byId("key-button").setAttribute("aria-expanded", "false");
  }

  #takeKey(event) {
    event.preventDefault();
    const input = byId("key");
    try {
      this.#api.useKey(input.value);
    } catch (problem) {
      this.askForKey(problem.message);
      return;
    }
    input.value = "";
    this.#hideKey();
    this.#keyChanged();
  }

  #forgetKey() {
    byId("key").value = "";
    this.#api.useKey("");
    this.#keyChanged();
  }

  #keyChanged() {
    byId("key-button").textContent = this.#api.hasKey ? "API key ✓" : "API key";
    this.#onKey();
    this.connect();
  }

  /** Show the phases of the start until it is over. */
  async #watchStart(attempt) {
    try {
      const start = await this.#api.get("startupz", { allowed: [503] });
      if (attempt !== this.#attempt) return;
      if (start.status === "started") {
        this.#later(() => this.connect(), POLL_MS); // at once would be often, should it not be ready
        return;
      }
      const text = start.status === "failed" ? "The start failed. The server's log says why." : "You can ask as soon as it is there.";
      this.#show("The model is loading", text);
      showPhases(start.phases);
      this.#later(() => this.#watchStart(attempt), POLL_MS);
    } catch (problem) {
      if (attempt === this.#attempt) this.explain(problem);
    }
  }

  #later(act, delayMs) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, delayMs);
  }

  #show(title, text, { canTry = false } = {}) {
    byId("state").hidden = false;
    if (byId("state-title").textContent !== title) byId("state-title").textContent = title;
    if (byId("state-text").textContent !== text) byId("state-text").textContent = text;
    byId("state-phases").replaceChildren();
    byId("state-again").hidden = !canTry;
  }
}

/** One bar a phase. */
function showPhases(phases) {
  byId("state-phases").replaceChildren(...phases.map((phase) => {
    const name = phase.name.replaceAll("_", " ");
    const isKnown = phase.total > 0 && !phase.is_finished;
    const bar = element("progress", { "aria-label": name, ...(isKnown ? { max: String(phase.total), value: String(phase.done) } : {}) });
    if (phase.is_finished) Object.assign(bar, { max: 1, value: 1 });
    return element("div", { class: "phase" }, element("span", {}, name), bar, element("span", { class: "note" }, amountOf(phase)));
  }));
}

function amountOf({ name, done, total, duration_s: duration, eta_s: eta, is_finished: isFinished }) {
  const took = `${duration.toFixed(1)} s`;
  if (isFinished) return took;
  const size = (amount) => Math.round(amount / 1e6).toLocaleString("en");
  const amount = total > 0 && IN_BYTES.has(name) ? `${size(done)} of ${size(total)} MB, ` : "";
  return `${amount}${took}${eta == null ? "" : `, about ${eta.toFixed(0)} s left`}`;
}
