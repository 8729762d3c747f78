// One turn of a conversation: what was asked, the answer as it comes, its figures and its request.

import { isStop } from "./api.js";
import { curlOf } from "./curl.js";
import { codeBlock, copyButton, element } from "./dom.js";
import { GrowingText } from "./markdown.js";

const ROUTE = "v1/chat/completions";
const LEAST_MS = 20; // of an answer that came all at once there is no rate to tell

export class Turn {
  #api; #node; #body; #foot; #answer = null; #frame = null;

  /**
   * `state` is "running", "done", "stopped" or "failed". A turn that failed is no part of the
   * history; one that was stopped is, as far as it came.
   */
  constructor(api, question, onAgain) {
    this.#api = api;
    this.question = question;
    this.answer = "";
    this.state = "running";
    this.onAgain = onAgain;
    this.#body = element("div", { class: "answer", dir: "auto" });
    this.#foot = element("footer");
    this.#node = element("article", { class: "turn", "aria-busy": "true" },
      element("div", { class: "question" }, element("h2", { class: "unseen" }, "You"), element("div", { class: "text", dir: "auto" }, question)),
      element("h2", { class: "unseen" }, "Answer"), this.#body, this.#foot);
  }

  get node() {
    return this.#node;
  }

  get messages() {
    const isSaid = this.state === "done" || (this.state === "stopped" && this.answer !== "");
    if (!isSaid) return [];
    return [{ role: "user", content: this.question }, { role: "assistant", content: this.answer }];
  }

  /** Ask, and show the answer as it comes. Returns the problem that ended it, or null. */
  async run(body, signal) {
    this.#begin();
    const figures = { startedAt: performance.now(), firstAt: null, lastAt: null, usage: null, finish: null, requestId: null };
    let problem = null;
    try {
      for await (const event of this.#api.stream(ROUTE, body, signal, (id) => (figures.requestId = id))) {
        figures.usage = event.usage ?? figures.usage;
        for (const choice of event.choices) this.#take(choice, figures);
      }
      this.state = "done";
    } catch (error) {
      this.state = isStop(error) ? "stopped" : "failed";
      problem = isStop(error) ? null : error;
    }
    figures.endedAt = performance.now();
    this.#end(body, figures, problem);
    return problem;
  }

  /** Only the last turn can be asked again: what follows would answer something else. */
  forbidAgain() {
    this.#foot.querySelector(".again")?.remove();
  }

  #begin() {
    this.state = "running";
    this.answer = "";
    this.#answer = new GrowingText(this.#body);
    this.#body.replaceChildren();
    this.#node.setAttribute("aria-busy", "true");
    this.#foot.replaceChildren(element("span", { class: "note waiting" }, "Waiting for the first token…"));
  }

  #take(choice, figures) {
    const text = choice.delta?.content;
    figures.finish = choice.finish_reason ?? figures.finish;
    if (!text) return;
    figures.lastAt = performance.now();
    figures.firstAt ??= figures.lastAt;
    if (this.answer === "") this.#foot.replaceChildren();
    this.answer += text;
    this.#draw();
  }

  /** Draw what has come, once a frame. A tab in the background draws nothing until it is seen. */
  #draw() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#answer.show(this.answer);
      this.#node.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
    });
  }

  #end(body, figures, problem) {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    this.#answer.show(this.answer);
    this.#node.setAttribute("aria-busy", "false");
    const request = { address: this.#api.address(ROUTE), method: "POST", body, hasKey: this.#api.hasKey };
    const shown = element("details", { class: "request" }, element("summary", {}, "curl"), codeBlock(curlOf(request), "sh"));
    this.#foot.replaceChildren(
      problem ? element("p", { class: "problem", role: "alert" }, wordsOf(problem)) : "",
      element("div", { class: "buttons" },
        element("span", { class: "note figures" }, figuresOf(figures, this.state)),
        element("span", { class: "together" },
          this.answer ? copyButton(() => this.answer, "Copy answer") : null,
          element("button", { type: "button", class: "quiet small again", click: () => this.onAgain() }, "Ask again"))),
      shown);
    this.#node.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
  }
}

/** A refusal as the server said it, with what an operator needs to find it in the log. */
function wordsOf(problem) {
  const facts = [problem.status >= 400 ? problem.status : null, problem.code, problem.requestId].filter(Boolean);
  return `${problem.message}${facts.length ? ` (${facts.join(", ")})` : ""}`;
}

/** Figures of an answer: tokens, tokens a second after the first, time to the first. */
function figuresOf({ startedAt, firstAt, lastAt, endedAt, usage, finish }, state) {
  const parts = [];
  if (usage) parts.push(`${usage.completion_tokens} tokens`);
  if (usage && usage.completion_tokens > 1 && lastAt - firstAt >= LEAST_MS) {
    parts.push(`${((usage.completion_tokens - 1) / ((lastAt - firstAt) / 1000)).toFixed(1)} tok/s`);
  }
  if (firstAt !== null) parts.push(`first token ${duration(firstAt - startedAt)}`);
  parts.push(`${duration(endedAt - startedAt)} in all`);
  if (usage) parts.push(`prompt ${usage.prompt_tokens} tokens`);
  if (state === "stopped") parts.push("stopped by you");
  else if (finish === "length") parts.push("ended at the most tokens");
  return parts.join(" · ");
}

const duration = (milliseconds) => (milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(2)} s`);
