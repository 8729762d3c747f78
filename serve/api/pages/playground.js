// The playground: a conversation with the model, one request at a time.

import { byId } from "./dom.js";
import { ModelChoice } from "./model.js";
import { bodyOf, markField } from "./settings.js";
import { Turn } from "./turn.js";

const NEAR_END_PX = 80;
const NARROW = matchMedia("(max-width: 56rem)");

export class Playground {
  #api; #connection; #models = new ModelChoice(); #turns = []; #running = null; #isFollowing = true;

  constructor(api) {
    this.#api = api;
    const prompt = byId("prompt");
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    prompt.addEventListener("keydown", (event) => {
      // While a word of Chinese or Japanese is being composed, Enter ends the word.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    prompt.addEventListener("input", () => this.#refresh());
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.stop());
    byId("stop").addEventListener("click", () => this.stop());
    byId("new-chat").addEventListener("click", () => this.#reset());
    byId("turns").addEventListener("grown", () => this.#isFollowing && scroller().scrollTo({ top: scroller().scrollHeight }));
    for (const scrolled of [byId("turns"), document]) scrolled.addEventListener("scroll", () => this.#look());
    for (const id of ["model-panel", "parameter-panel"]) byId(id).open = !NARROW.matches;
  }

  /** The connection explains what a request of ours is refused for. */
  set connection(connection) {
    this.#connection = connection;
  }

  get modelName() {
    return this.#models.name;
  }

  /** Take the models that may be asked. */
  take(cards, version) {
    this.#models.take(cards, version);
    this.#refresh();
    if (byId("key-panel").hidden && !byId("playground").hidden) byId("prompt").focus();
  }

  /** End the answer that is coming. What has come stays. */
  stop() {
    this.#running?.abort();
  }

  /** Whether the end of the conversation is in sight: only then what comes is followed. */
  #look() {
    const { scrollHeight, scrollTop, clientHeight } = scroller();
    this.#isFollowing = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #reset() {
    this.stop();
    for (const turn of this.#turns.splice(0)) turn.node.remove();
    byId("welcome").hidden = false;
    byId("told").textContent = "A new conversation.";
    byId("prompt").focus();
  }

  #send() {
    const question = byId("prompt").value.trim();
    if (question === "" || this.#running || !this.#models.name) return;
    byId("prompt").value = "";
    byId("welcome").hidden = true;
    this.#turns.at(-1)?.forbidAgain();
    const turn = new Turn(this.#api, question, () => this.#run(turn));
    this.#turns.push(turn);
    byId("turns").append(turn.node);
    this.#isFollowing = true;
    this.#run(turn);
  }

  async #run(turn) {
    if (this.#running) return;
    const before = this.#turns.slice(0, this.#turns.indexOf(turn)).flatMap((earlier) => earlier.messages);
    markField(null);
    byId("composer-problem").hidden = true;
    let body;
    try {
      body = bodyOf(this.#models.name, [...before, { role: "user", content: turn.question }]);
    } catch (problem) {
      this.#unsay(turn, problem);
      return;
    }
    this.#running = new AbortController();
    this.#refresh();
    byId("told").textContent = "Answering.";
    const problem = await turn.run(body, this.#running.signal);
    this.#running = null;
    this.#refresh();
    byId("told").textContent = problem ? "The answer failed." : turn.state === "stopped" ? "Stopped." : "The answer is complete.";
    if (problem) this.#learn(problem);
  }

  /** Take back a question that cannot be sent as the form is. */
  #unsay(turn, problem) {
    this.#turns.splice(this.#turns.indexOf(turn), 1);
    turn.node.remove();
    byId("prompt").value = turn.question;
    byId("welcome").hidden = this.#turns.length > 0;
    byId("composer-problem").textContent = problem.message;
    byId("composer-problem").hidden = false;
    markField(problem.param);
    const field = byId(problem.param);
    byId("parameter-panel").open = true;
    field?.focus();
    this.#refresh();
  }

  #learn(problem) {
    markField(problem.param);
    const isOfServer = [401, 403].includes(problem.status) || ["not_ready", "no_answer"].includes(problem.code);
    if (isOfServer) this.#connection.explain(problem);
  }

  #refresh() {
    const isRunning = this.#running !== null;
    byId("stop").hidden = !isRunning;
    byId("send").hidden = isRunning;
    byId("send").disabled = !this.#models.name || byId("prompt").value.trim() === "";
    // A button that was pressed and is gone leaves the focus nowhere.
    if (document.activeElement === document.body && this.#turns.length) byId("prompt").focus();
  }
}

/** On a narrow screen the page is scrolled, else the conversation. */
const scroller = () => (NARROW.matches ? document.scrollingElement : byId("turns"));
