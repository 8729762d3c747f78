// Types of our OpenAPI document in words: what a field is, and within which limits.

import { element } from "./dom.js";

const PREFIX = "#/components/schemas/";

/** The id of a type's section. */
export const typeId = (name) => `type-${name}`;

/** The type as nodes; other types of the document are links to their sections. */
export function typeNodes(schema) {
  if (schema.$ref) {
    const name = schema.$ref.slice(PREFIX.length);
    return [element("a", { href: `#${typeId(name)}` }, name)];
  }
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches) return joined(branches.filter(({ type }) => type !== "null").map(typeNodes), " or ");
  if (schema.const !== undefined) return [element("code", {}, JSON.stringify(schema.const))];
  if (schema.enum) return joined(schema.enum.filter((value) => value !== null).map((value) => [element("code", {}, JSON.stringify(value))]), " or ");
  if (schema.type === "array") return ["array of ", ...typeNodes(schema.items ?? {})];
  if (schema.type === "object" && schema.additionalProperties?.type) return ["object of ", ...typeNodes(schema.additionalProperties)];
  return [schema.type ?? "any value"];
}

function joined(lists, between) {
  return lists.flatMap((nodes, at) => (at ? [between, ...nodes] : nodes));
}

/** The limits of a value in words, those of each of its forms. */
export function limitsOf(schema) {
  const own = [];
  own.push(range(schema.minimum, schema.exclusiveMinimum, schema.maximum, schema.exclusiveMaximum));
  own.push(counted(schema.minLength, schema.maxLength, "character"));
  own.push(counted(schema.minItems, schema.maxItems, "item"));
  own.push(counted(schema.minProperties, schema.maxProperties, "name"));
  if (schema.pattern) own.push(`matches ${schema.pattern}`);
  const inner = [...(schema.anyOf ?? schema.oneOf ?? [])].map(limitsOf);
  if (schema.items) inner.push(each(limitsOf(schema.items), "each "));
  if (schema.additionalProperties?.type) inner.push(each(limitsOf(schema.additionalProperties), "each "));
  if (schema.default != null && schema.default !== "") own.push(`default ${JSON.stringify(schema.default)}`);
  return [...new Set([...own, ...inner].filter(Boolean))].join("; ");
}

const each = (text, prefix) => (text ? prefix + text : "");

function range(least, above, most, below) {
  const low = isHuge(least) ? undefined : least;
  const high = isHuge(most) ? undefined : most;
  if (low !== undefined && high !== undefined) return `${low} to ${high}`;
  const parts = [];
  if (low !== undefined) parts.push(`at least ${low}`);
  if (above !== undefined) parts.push(`more than ${above}`);
  if (high !== undefined) parts.push(`at most ${high}`);
  if (below !== undefined) parts.push(`less than ${below}`);
  if (isHuge(least) || isHuge(most)) parts.push("64 bits");
  return parts.join(", ");
}

/** Whether it is a bound of 64-bit integers, which JavaScript does not hold exactly. */
const isHuge = (bound) => bound !== undefined && !Number.isSafeInteger(bound) && Math.abs(bound) > 2 ** 53;

function counted(least, most, what) {
  if (least !== undefined && most !== undefined) return `${least} to ${most.toLocaleString("en")} ${what}s`;
  if (most !== undefined) return `at most ${most.toLocaleString("en")} ${what}s`;
  return least === undefined ? "" : `at least ${least} ${what}${least === 1 ? "" : "s"}`;
}
