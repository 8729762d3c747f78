// Markdown as elements: headings, lists, quotes, tables, code, and the text within (inline.js).
//
// A subset of CommonMark with GitHub's tables. HTML is shown as the text that it is.

import { codeBlock, element } from "./dom.js";
import { appendInline } from "./inline.js";

const MAX_DEPTH = 8;
const FENCE = /^ {0,3}(`{3,}|~{3,}) *([^`\s]*)/;
const HEADING = /^ {0,3}(#{1,6})(?=\s|$)/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const ITEM = /^( {0,12})([-*+]|\d{1,9}[.)])(?: +|$)/;
const QUOTE = /^ {0,3}> ?/;
const DELIMITER = /^:?-+:?$/;

/** An answer that grows: of its blocks only those that changed are made anew. */
export class GrowingText {
  #made = [];

  constructor(parent) {
    this.parent = parent;
  }

  show(text) {
    const blocks = blocksOf(text.split("\n"));
    let same = 0;
    while (same < this.#made.length && same < blocks.length && this.#made[same].source === blocks[same].source) same++;
    for (const old of this.#made.splice(same)) old.node.remove();
    for (const block of blocks.slice(same)) {
      const node = nodeOf(block, 0);
      this.parent.append(node);
      this.#made.push({ source: block.source, node });
    }
  }
}

/** Append the elements of a text to a parent. */
export function appendMarkdown(parent, text, depth = 0) {
  for (const block of blocksOf(text.split("\n"), depth)) parent.append(nodeOf(block, depth));
}

/** The blocks of these lines: {kind, source, lines, ...}. */
function blocksOf(lines, depth = 0) {
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (lines[at].trim() === "") {
      at++;
      continue;
    }
    const block = blockAt(lines, at, depth);
    block.source = `${block.kind}\n${lines.slice(at, block.end).join("\n")}`;
    at = block.end;
    blocks.push(block);
  }
  return blocks;
}

function blockAt(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence);
  if (HEADING.test(line)) return { kind: "heading", end: at + 1, line };
  if (RULE.test(line)) return { kind: "rule", end: at + 1 };
  if (depth < MAX_DEPTH && QUOTE.test(line)) return whole("quote", lines, at, (next) => QUOTE.test(next));
  if (depth < MAX_DEPTH && ITEM.test(line)) return list(lines, at);
  if (isTable(lines, at)) return whole("table", lines, at, (next) => next.includes("|"));
  return whole("paragraph", lines, at, (next, place) => next.trim() !== "" && !begins(lines, place, depth));
}

function whole(kind, lines, at, goesOn) {
  let end = at + 1;
  while (end < lines.length && goesOn(lines[end], end)) end++;
  return { kind, end, lines: lines.slice(at, end) };
}

/** Whether a block other than a paragraph begins at a line. */
function begins(lines, at, depth) {
  const line = lines[at];
  const isBlock = FENCE.test(line) || HEADING.test(line) || RULE.test(line) || isTable(lines, at);
  return isBlock || (depth < MAX_DEPTH && (QUOTE.test(line) || ITEM.test(line)));
}

function fenced(lines, at, [, fence, language]) {
  let end = at + 1;
  const isEnd = (line) => {
    const text = line.trim();
    return text.length >= fence.length && text === fence[0].repeat(text.length);
  };
  while (end < lines.length && !isEnd(lines[end])) end++;
  return { kind: "code", end: Math.min(end + 1, lines.length), lines: lines.slice(at + 1, end), language };
}

/** Items of one kind, each with the lines that are indented below it. */
function list(lines, at) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const isOrdered = mark.length > 1;
  const items = [];
  let end = at;
  for (; end < lines.length; end++) {
    const line = lines[end];
    const item = ITEM.exec(line);
    if (item && item[1].length <= indent.length + 1 && !RULE.test(line)) {
      if (item[2].length > 1 !== isOrdered) break;
      items.push({ width: item[0].length, lines: [line.slice(item[0].length)] });
    } else if (line.trim() === "") {
      const next = lines[end + 1];
      if (next === undefined || !(ITEM.test(next) || next.startsWith(" ".repeat(indent.length + 2)))) break;
      items.at(-1).lines.push("");
    } else if (line.startsWith(" ".repeat(indent.length + 2))) {
      items.at(-1).lines.push(dedented(line, items.at(-1).width));
    } else if (begins(lines, end, 0)) {
      break;
    } else {
      items.at(-1).lines.push(line);
    }
  }
  return { kind: "list", end, items, isOrdered, start: parseInt(mark, 10) };
}

const dedented = (line, width) => line.slice(Math.min(width, line.length - line.trimStart().length));

function isTable(lines, at) {
  const next = lines[at + 1];
  if (next === undefined || !lines[at].includes("|") || !next.includes("-")) return false;
  const marks = cells(next);
  return marks.every((mark) => DELIMITER.test(mark)) && marks.length === cells(lines[at]).length;
}

/** The cells of a row; a bar behind a backslash is text. */
function cells(line) {
  const row = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return row.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function nodeOf(block, depth) {
  switch (block.kind) {
    case "code":
      return codeBlock(block.lines.join("\n"), block.language);
    case "heading":
      return heading(block.line);
    case "rule":
      return element("hr");
    case "quote": {
      const quote = element("blockquote");
      appendMarkdown(quote, block.lines.map((line) => line.replace(QUOTE, "")).join("\n"), depth + 1);
      return quote;
    }
    case "list":
      return listNode(block, depth);
    case "table":
      return table(block.lines);
    default:
      return inlineNode("p", block.lines.map((line) => line.trimStart()).join("\n"));
  }
}

function inlineNode(tag, text, attributes = {}) {
  const node = element(tag, attributes);
  appendInline(node, text);
  return node;
}

/** A heading below the page's own. */
function heading(line) {
  const level = HEADING.exec(line)[1].length;
  let text = line.trim().slice(level).trim();
  const bare = text.slice(0, text.length - (/#{1,99}$/.exec(text)?.[0].length ?? 0));
  if (bare === "" || bare.endsWith(" ")) text = bare.trim();
  return inlineNode(`h${Math.min(level + 2, 6)}`, text);
}

function listNode({ isOrdered, start, items }, depth) {
  const node = element(isOrdered ? "ol" : "ul", isOrdered && start !== 1 ? { start: String(start) } : {});
  for (const item of items) {
    const entry = element("li");
    const isPlain = item.lines.length === 1;
    if (isPlain) appendInline(entry, item.lines[0]);
    else appendMarkdown(entry, item.lines.join("\n"), depth + 1);
    node.append(entry);
  }
  return node;
}

function table(lines) {
  const sides = cells(lines[1]).map((mark) => (mark.endsWith(":") ? (mark.startsWith(":") ? "middle" : "right") : null));
  const row = (tag, line) => {
    const given = cells(line);
    return element("tr", {}, ...sides.map((side, at) => inlineNode(tag, given[at] ?? "", { class: side })));
  };
  const body = lines.slice(2).map((line) => row("td", line));
  return element("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" },
    element("table", {}, element("thead", {}, row("th", lines[0])), element("tbody", {}, ...body)));
}
