// The API reference, made of this server's own /openapi.json.

import { curlOf } from "./curl.js";
import { byId, codeBlock, element } from "./dom.js";
import { appendInline } from "./inline.js";
import { limitsOf, typeId, typeNodes } from "./types.js";

const GUIDES = [
  ["docs/api.md", "what requests may say, and what becomes of what clients send beside it"],
  ["docs/errors.md", "every error: its status, code and meaning"],
  ["docs/config.md", "every setting of the server"],
  ["docs/metrics.md", "every metric of /metrics"],
  ["docs/models.md", "models: pulling, verifying, signing"],
  ["docs/playground.md", "this page"],
  ["SECURITY.md", "what is protected, and what is not yet"],
];

export class Reference {
  #api; #modelName; #connection; #document = null; #isOpen = false; #isLoading = false;

  constructor(api, modelName) {
    this.#api = api;
    this.#modelName = modelName;
    byId("search").addEventListener("input", () => this.#search());
  }

  set connection(connection) {
    this.#connection = connection;
  }

  /** Show the reference, and fetch it the first time. */
  open() {
    this.#isOpen = true;
    if (this.#document === null) this.#load();
  }

  /** There is another model or, with `isNew`, another key: draw anew what is seen. */
  refresh({ isNew = false } = {}) {
    if (isNew) this.#document = null;
    if (!this.#isOpen) return;
    if (this.#document === null) this.#load();
    else this.#draw();
  }

  async #load() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      this.#document = await this.#api.get("openapi.json");
      this.#draw();
      if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
    } catch (problem) {
      byId("description").replaceChildren(element("p", { class: "problem" }, problem.message));
      this.#connection.explain(problem);
    } finally {
      this.#isLoading = false;
    }
  }

  #draw() {
    const { info, paths, components } = this.#document;
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })));
    const types = Object.entries(components.schemas).sort(([one], [other]) => one.localeCompare(other));
    byId("description").replaceChildren(
      introduction(info),
      ...operations.map((operation) => this.#operation(operation)),
      element("h2", { id: "types" }, "Types"),
      ...types.map(([name, schema]) => typeSection(name, schema)));
    byId("contents").replaceChildren(
      contents("Routes", operations.map(({ path, method }) => [idOf(method, path), `${method} ${path}`])),
      contents("Types", types.map(([name]) => [typeId(name), name])));
    this.#search();
  }

  #operation({ path, method, operation }) {
    const content = operation.requestBody?.content["application/json"];
    const isPublic = operation.security?.length === 0;
    const model = this.#modelName();
    const body = content?.example && { ...content.example, ...(content.example.model && model ? { model } : {}) };
    const shown = path.replace("{model}", model || "demo");
    const command = curlOf({ address: this.#api.address(shown), method, body, hasKey: this.#api.hasKey && !isPublic });
    const section = element("section", { id: idOf(method, path), class: "entry", "data-name": `${method} ${path}` },
      element("h2", {}, element("span", { class: "method" }, method), " ", element("code", {}, path)),
      paragraphs(operation.description ?? ""),
      element("p", { class: "note" }, isPublic ? "Needs no key." : "Needs a key, where the server has keys."));
    const asked = queryFields(operation.parameters ?? []);
    if (Object.keys(asked).length) section.append(element("h3", {}, "Query"), fieldTable({ properties: asked }));
    if (content) section.append(element("h3", {}, "Body: ", ...typeNodes(content.schema)), this.#fields(content.schema));
    section.append(element("h3", {}, "Answers"), answers(operation.responses), element("h3", {}, "Example"), codeBlock(command, "sh"));
    return section;
  }

  #fields(schema) {
    const name = schema.$ref?.split("/").at(-1);
    return fieldTable(this.#document.components.schemas[name] ?? schema);
  }

  #search() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (text) => words.every((word) => text.toLowerCase().includes(word));
    let count = 0;
    for (const entry of document.querySelectorAll("#description .entry")) {
      const isNamed = has(`${entry.dataset.name} ${entry.querySelector(".said")?.textContent ?? ""}`);
      let isFound = isNamed;
      for (const row of entry.querySelectorAll("tbody tr")) {
        row.hidden = !isNamed && !has(row.textContent);
        isFound ||= !row.hidden;
      }
      entry.hidden = !isFound;
      byId("contents").querySelector(`a[href="#${entry.id}"]`).parentElement.hidden = !isFound;
      count += isFound;
    }
    byId("found").textContent = words.length ? `${count} of the routes and types` : "";
  }
}

/** Parameters of a query, as the fields of an object. */
const queryFields = (parameters) => Object.fromEntries(parameters.filter((parameter) => parameter.in === "query")
  .map(({ name, schema, description }) => [name, { ...schema, description }]));

const idOf = (method, path) => `${method}-${path}`.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/-$/, "");

function introduction({ version, description }) {
  const [first, ...rest] = description.split("\n\n");
  return element("section", { class: "introduction" },
    element("h1", {}, "API reference"),
    element("p", { class: "note" }, `Intramural ${version}. Made of this server's own /openapi.json.`),
    paragraphs(first),
    rest.length ? element("details", {}, element("summary", {}, "Fields without effect"), paragraphs(rest.join("\n\n"))) : null,
    element("details", {}, element("summary", {}, "Guides: files of the repository"),
      element("ul", {}, ...GUIDES.map(([file, about]) => element("li", {}, element("code", {}, file), `: ${about}`)))));
}

function contents(title, links) {
  return element("div", {}, element("h2", {}, title),
    element("ul", {}, ...links.map(([id, text]) => element("li", {}, element("a", { href: `#${id}` }, text)))));
}

function typeSection(name, schema) {
  const section = element("section", { id: typeId(name), class: "entry type", "data-name": name },
    element("h3", {}, element("code", {}, name)), paragraphs(schema.description ?? ""));
  section.append(schema.properties ? fieldTable(schema) : element("p", {}, ...typeNodes(schema)));
  return section;
}

/** Fields of an object: those that must be there first. */
function fieldTable({ properties = {}, required = [] }) {
  const names = Object.keys(properties).sort((one, other) => required.includes(other) - required.includes(one));
  const row = (name) => element("tr", {},
    element("th", { scope: "row" }, element("code", {}, name), required.includes(name) ? element("span", { class: "required" }, " required") : null),
    element("td", { "data-label": "Type" }, ...typeNodes(properties[name])),
    element("td", { "data-label": "Limits" }, limitsOf(properties[name])),
    told(properties[name].description));
  return element("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Fields" },
    element("table", { class: "fields" },
      element("thead", {}, element("tr", {}, ...["Field", "Type", "Limits", "Meaning"].map((title) => element("th", { scope: "col" }, title)))),
      element("tbody", {}, ...names.map(row))));
}

function told(text) {
  const cell = element("td", { "data-label": "Meaning" });
  appendInline(cell, text ?? "");
  return cell;
}

function answers(responses) {
  const row = ([status, { description, content = {} }]) => {
    const forms = Object.entries(content).flatMap(([media, { schema }], at) => [at ? ", " : " ", element("code", {}, media), " ", ...typeNodes(schema)]);
    return element("li", {}, element("code", {}, status), ` ${description}`, ...forms);
  };
  return element("ul", {}, ...Object.entries(responses).map(row));
}

/** A text of the document: paragraphs apart by empty lines, code between backticks. */
function paragraphs(text) {
  const node = element("div", { class: "said" });
  for (const part of text.split(/\n\n+/).filter(Boolean)) {
    const paragraph = element("p");
    appendInline(paragraph, part);
    node.append(paragraph);
  }
  return node;
}
