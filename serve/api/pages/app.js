// The page: two views under two addresses, over one key that a change of view does not lose.

import { Api } from "./api.js";
import { Connection } from "./connection.js";
import { byId } from "./dom.js";
import { Playground } from "./playground.js";
import { Reference } from "./reference.js";

const TITLES = { playground: "Playground", reference: "API reference" };

const api = new Api();
const playground = new Playground(api);
const reference = new Reference(api, () => playground.modelName);
const connection = new Connection(api, {
  onModels: (cards, version) => {
    playground.take(cards, version);
    reference.refresh();
  },
  onKey: () => reference.refresh({ isNew: true }),
});
playground.connection = connection;
reference.connection = connection;

function show() {
  const name = location.pathname.endsWith("/docs") ? "reference" : "playground";
  for (const other of Object.keys(TITLES)) {
    byId(other).hidden = other !== name;
    byId(`to-${other}`).toggleAttribute("aria-current", false);
  }
  byId(`to-${name}`).setAttribute("aria-current", "page");
  document.title = `${TITLES[name]} · Intramural`;
  if (name === "reference") reference.open();
}

for (const name of Object.keys(TITLES)) {
  byId(`to-${name}`).addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab
    event.preventDefault();
    history.pushState(null, "", event.currentTarget.href);
    show();
    byId("main").focus();
  });
}
addEventListener("popstate", show);
show();
connection.connect();
