// Markdown within a line: code, emphasis, links. It builds nodes; no character of it becomes HTML.
//
// A search that found nothing is not made again, links are looked for within a bound and nesting
// ends at a depth, so the time grows with the text and no answer can hold up the page.

import { element } from "./dom.js";

const MAX_DEPTH = 6;
const MAX_LINK_TEXT = 500;
const MAX_ADDRESS = 2000;
const SPECIAL = /[\\`*_~[!h\n]/g;
const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);
const TAGS = { "**": "strong", __: "strong", "*": "em", _: "em", "~~": "del" };
const isWord = (character) => character !== undefined && /[\p{L}\p{N}_]/u.test(character);
const isSpace = (character) => character === undefined || /\s/.test(character);

/** Append the nodes of a text to a parent. */
export function appendInline(parent, text, depth = 0) {
  new Line(parent, text, depth).build();
}

/** The address that a link may lead to; null for any that is not of the web or mail. */
export function safeAddress(text) {
  if (text.length > MAX_ADDRESS || !URL.canParse(text)) return null;
  const address = new URL(text);
  return PROTOCOLS.has(address.protocol) ? address : null;
}

class Line {
  #parent; #text; #depth; #at = 0; #plain = ""; #absent = new Set();

  constructor(parent, text, depth) {
    this.#parent = parent;
    this.#text = text;
    this.#depth = depth;
  }

  build() {
    const text = this.#text;
    while (this.#at < text.length) {
      SPECIAL.lastIndex = this.#at;
      const next = SPECIAL.exec(text)?.index ?? text.length;
      this.#plain += text.slice(this.#at, next);
      this.#at = next;
      if (next < text.length && !this.#special(text[next])) this.#plain += text[this.#at++];
    }
    this.#flush();
  }

  #special(character) {
    switch (character) {
      case "\\": return this.#escape();
      case "`": return this.#code();
      case "[": return this.#link(this.#at);
      case "!": return this.#text[this.#at + 1] === "[" && this.#link(this.#at + 1);
      case "h": return this.#bareAddress();
      case "\n": return this.#lineBreak();
      default: return this.#emphasis(character);
    }
  }

  #escape() {
    const next = this.#text[this.#at + 1];
    if (next === "\n") {
      this.#add(element("br"), 2);
      return true;
    }
    if (next === undefined || !/[!-/:-@[-`{-~]/.test(next)) return false;
    this.#plain += next;
    this.#at += 2;
    return true;
  }

  #lineBreak() {
    if (!this.#plain.endsWith("  ")) return false;
    this.#plain = this.#plain.trimEnd();
    this.#add(element("br"), 1);
    return true;
  }

  #code() {
    const ticks = runAt(this.#text, this.#at);
    const end = this.#find(ticks, (at, run) => run === ticks.length && at);
    if (end === null) {
      this.#plain += ticks; // as they stand, all of them
      this.#at += ticks.length;
      return true;
    }
    const inner = this.#text.slice(this.#at + ticks.length, end).replaceAll("\n", " ");
    const code = /^ .*[^ ].* $/.test(inner) ? inner.slice(1, -1) : inner;
    this.#add(element("code", {}, code), end + ticks.length - this.#at);
    return true;
  }

  #emphasis(character) {
    const run = runAt(this.#text, this.#at).length;
    const width = run >= 2 ? 2 : 1;
    if (character === "~" && width < 2) return false;
    const marker = character.repeat(width);
    const opensInWord = character === "_" && isWord(this.#text[this.#at - 1]);
    if (this.#depth >= MAX_DEPTH || run > 3 || opensInWord || isSpace(this.#text[this.#at + width])) {
      return this.#literally(run);
    }
    const end = this.#find(marker, (at, length) => {
      const closes = width === 2 ? length >= 2 : length !== 2;
      const inWord = character === "_" && isWord(this.#text[at + length]);
      return closes && !isSpace(this.#text[at - 1]) && !inWord && at + length - width;
    });
    if (end === null) return this.#literally(run);
    const inner = element(TAGS[marker]);
    appendInline(inner, this.#text.slice(this.#at + width, end), this.#depth + 1);
    this.#add(inner, end + width - this.#at);
    return true;
  }

  #literally(length) {
    this.#plain += this.#text.slice(this.#at, this.#at + length);
    this.#at += length;
    return true;
  }

  /** The place that `ends` gives for a later run of the marker's character; null if none. */
  #find(marker, ends) {
    if (this.#absent.has(marker)) return null;
    let at = this.#at + runAt(this.#text, this.#at).length;
    while ((at = this.#text.indexOf(marker, at)) !== -1) {
      const run = runAt(this.#text, at).length;
      const end = ends(at, run);
      if (end !== false) return end;
      at += run;
    }
    this.#absent.add(marker);
    return null;
  }

  /** [text](address), and ![text](address), which loads nothing. */
  #link(open) {
    const close = closing(this.#text, open, "[", "]", MAX_LINK_TEXT);
    if (close === -1 || this.#text[close + 1] !== "(") return false;
    const end = closing(this.#text, close + 1, "(", ")", MAX_ADDRESS);
    if (end === -1) return false;
    const given = this.#text.slice(close + 2, end).trim().split(/\s/, 1)[0].replace(/^<(.*)>$/, "$1");
    const shown = this.#text.slice(open + 1, close);
    const address = safeAddress(given);
    if (address === null || this.#depth >= MAX_DEPTH) return false;
    const label = element("span");
    appendInline(label, shown || given, MAX_DEPTH); // no link within a link
    this.#add(anchor(address, label), end + 1 - this.#at);
    return true;
  }

  #bareAddress() {
    if (isWord(this.#text[this.#at - 1]) || !/^https?:\/\//.test(this.#text.slice(this.#at, this.#at + 8))) return false;
    const found = this.#text.slice(this.#at, this.#at + MAX_ADDRESS).match(/^[^\s<>"'`\u3000-\u303f\uff00-\uff65]+/)[0];
    const given = found.replace(/[.,:;!?*_~)\]]{1,9}$/, "");
    const address = safeAddress(given);
    if (address === null || this.#depth >= MAX_DEPTH) return false;
    this.#add(anchor(address, given), given.length);
    return true;
  }

  #add(node, length) {
    this.#flush();
    this.#parent.append(node);
    this.#at += length;
  }

  #flush() {
    if (this.#plain) this.#parent.append(this.#plain);
    this.#plain = "";
  }
}

/** A link that opens beside this page, tells it nothing, and says which host it leads to. */
function anchor(address, label) {
  const link = element("a", { href: address.href, target: "_blank", rel: "noopener noreferrer nofollow", title: address.href }, label);
  const host = address.host || address.pathname;
  if (!link.textContent.includes(host)) link.append(element("span", { class: "host" }, ` (${host})`));
  return link;
}

/** The run of one character that begins at a place. */
function runAt(text, at) {
  let end = at + 1;
  while (text[end] === text[at]) end++;
  return text.slice(at, end);
}

/** Where a bracket closes, within a bound; -1 if nowhere. */
function closing(text, open, opener, closer, bound) {
  let depth = 0;
  for (let at = open; at < Math.min(text.length, open + bound); at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === opener) depth++;
    else if (text[at] === closer && --depth === 0) return at;
  }
  return -1;
}
