// Elements, made of text alone: nothing here or elsewhere on this page writes HTML.

/** The element of that id. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. Attributes that are functions listen to the event of their name; true is an empty
 * attribute, false and null are none. Children that are strings become text.
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** A button that copies a text, and says so for two seconds. */
export function copyButton(text, label = "Copy") {
  const button = element("button", {
    type: "button",
    class: "quiet small",
    click: async () => {
      button.textContent = (await copy(typeof text === "function" ? text() : text)) ? "Copied" : "Not copied";
      setTimeout(() => (button.textContent = label), 2000);
    },
  }, label);
  return button;
}

/** Copy a text; returns whether it could. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // plain HTTP from another machine has no clipboard of its own
  }
}

function copyBySelection(text) {
  const before = document.activeElement;
  const area = element("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  before?.focus();
  return isDone;
}

/** A block of code with its language and a button that copies it. */
export function codeBlock(text, language = "") {
  return element("figure", { class: "code" },
    element("figcaption", {}, element("span", {}, language), copyButton(text)),
    element("pre", { tabindex: "0" }, element("code", {}, text)));
}
