// The models that may be asked, and what is known of the weights of the one that is chosen.

import { byId, copyButton, element } from "./dom.js";

export class ModelChoice {
  #cards = []; #version = null;

  constructor() {
    byId("model").addEventListener("change", () => this.#showFacts());
  }

  /** The name that is chosen; an empty text while none is known. */
  get name() {
    return byId("model").value;
  }

  /** Take the cards of /v1/models; what was chosen stays chosen where it is still served. */
  take(cards, version) {
    this.#version = version;
    const select = byId("model");
    const before = select.value;
    this.#cards = cards;
    select.replaceChildren(...cards.map(({ id }) => element("option", { value: id }, id)));
    if (cards.some(({ id }) => id === before)) select.value = before;
    select.disabled = cards.length === 0;
    this.#showFacts();
  }

  #showFacts() {
    const card = this.#cards.find(({ id }) => id === this.name);
    byId("facts").replaceChildren(...(card ? factsOf(card, this.#version).flatMap(([name, value, hint]) => [
      element("dt", {}, name),
      element("dd", { title: hint }, value),
    ]) : []));
  }
}

function factsOf(card, version) {
  const facts = [["Context", `${card.max_model_len.toLocaleString("en")} tokens`]];
  if (card.parent) facts.push(["Adapter of", card.parent]);
  const digest = card.digest;
  facts.push(["Digest", digest ? element("span", {}, element("code", {}, shortened(digest)), " ", copyButton(digest)) : "not known", digest]);
  facts.push(["Weights", card.quantization === "none" ? "full, not quantised" : card.quantization]);
  if (card.quantization !== "none") facts.push(["Quality", qualityOf(card)]);
  if (version) facts.push(["Server", ["Intramural", version.version, version.commit?.slice(0, 12)].filter(Boolean).join(" ")]);
  return facts;
}

const shortened = (digest) => (digest.length > 26 ? `${digest.slice(0, 19)}…${digest.slice(-4)}` : digest);

/** The line of the server's banner (models/quality.py), and whether it is enough. */
function qualityOf({ quality, quantization }) {
  if (!quality) return element("strong", {}, `not known: nobody measured what ${quantization} cost this model`);
  const line = qualityLine(quality);
  return quality.is_enough ? line : element("span", {}, line, element("strong", {}, " Less than docs/quality.md asks."));
}

export function qualityLine(quality) {
  const { kl_mean: divergence, top1, perplexity_ratio: ratio, num_tokens: count, texts } = quality;
  return (
    `KL ${divergence.toFixed(4)}, same token ${(top1 * 100).toFixed(1)}%, perplexity × ${ratio.toFixed(3)} ` +
    `(${count.toLocaleString("en")} tokens: ${texts.join(", ")})`
  );
}
