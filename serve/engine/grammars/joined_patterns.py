"""The number of patterns that a schema joins into one text, which makes compiling slow.

Schemas are joined by ``allOf``, and by whatever stands beside ``$ref``, ``anyOf`` or ``oneOf``; so
are the properties and items of joined schemas that have one place. Compiling takes time by a power
of the number of patterns that are joined, and cannot be interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from serve.engine.grammars import bounds
from serve.engine.grammars.refusal import GrammarRefused

_ALTERNATIVES = ("anyOf", "oneOf")
_OWN = (
    *("pattern", "format", "properties", "patternProperties", "additionalProperties"),
    *("items", "prefixItems", "additionalItems"),
)


class JoinCheck:
    """Checks one schema.

    Args:
        targets: what each ``$ref`` of the schema names; None where it names nothing.
        formats: those that count as patterns.
    """

    def __init__(self, targets: Mapping[str, Any], formats: Iterable[str]) -> None:
        self._targets = targets
        self._formats = frozenset(formats)
        self._covered: set[int] = set()
        self._seen: set[frozenset[int]] = set()
        self._num_visited = 0

    def check(self, path: str, part: Mapping[str, Any]) -> None:
        """Refuse a part that joins too many.

        Args:
            path: words for where it stands.

        Raises:
            GrammarRefused: it joins more patterns than are taken, or too many schemas.
        """
        if id(part) in self._covered or not _joins(part):
            return
        waiting: list[tuple[Sequence[Any], frozenset[int]]] = [([part], frozenset())]
        while waiting:
            members, taken = waiting.pop()
            group, branches = self._closure(members, taken, path)
            if branches is not None:
                taken |= {id(branches)}
                waiting += [([*group.values(), branch], taken) for branch in branches]
                continue
            key = frozenset(group)
            if key in self._seen:
                continue
            self._seen.add(key)
            self._count(group.values(), path)
            if len(group) > 1:
                waiting += [(place, frozenset()) for place in _places(group.values())]

    def _closure(
        self, members: Sequence[Any], taken: frozenset[int], path: str
    ) -> tuple[dict[int, Mapping[str, Any]], list[Any] | None]:
        """Schemas that are joined with these, and the one list of alternatives among them, if any.

        Of several lists each is taken as if all of it were joined.

        Args:
            taken: identities of lists of which one alternative is among the members.
        """
        found: dict[int, Mapping[str, Any]] = {}
        lists: list[list[Any]] = []
        waiting = list(members)
        while waiting or len(lists) > 1:
            if not waiting:
                waiting += [branch for branches in lists for branch in branches]
                lists = []
            node = waiting.pop()
            if not isinstance(node, Mapping) or id(node) in found:
                continue
            found[id(node)] = node
            self._visit(path)
            self._covered.add(id(node))
            if isinstance(node.get("allOf"), list):
                waiting += node["allOf"]
            if isinstance(node.get("$ref"), str):
                waiting.append(self._targets.get(node["$ref"]))
            listed = [node[name] for name in _ALTERNATIVES if isinstance(node.get(name), list)]
            lists += [branches for branches in listed if branches and id(branches) not in taken]
        return found, lists[0] if lists else None

    def _visit(self, path: str) -> None:
        self._num_visited += 1
        if self._num_visited > bounds.MAX_JOINED:
            raise GrammarRefused(
                f"{path} joins more than {bounds.MAX_JOINED} schemas by allOf, $ref and what "
                "stands beside them. Join fewer."
            )

    def _count(self, nodes: Iterable[Mapping[str, Any]], path: str) -> None:
        patterns = set()
        for node in nodes:
            if isinstance(node.get("pattern"), str):
                patterns.add(node["pattern"])
            if isinstance(node.get("format"), str) and node["format"] in self._formats:
                patterns.add(node["format"])
        if len(patterns) > bounds.MAX_INTERSECTIONS:
            raise GrammarRefused(
                f"{path} joins {len(patterns)} patterns and formats, by allOf or by what stands "
                f"beside $ref, anyOf and oneOf; at most {bounds.MAX_INTERSECTIONS} are taken."
            )


def _joins(part: Mapping[str, Any]) -> bool:
    if "allOf" in part:
        return True
    num_others = sum(name in part for name in ("$ref", *_ALTERNATIVES))
    return num_others > 1 or (num_others == 1 and any(name in part for name in _OWN))


def _places(nodes: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
    """Schemas within joined ones that are of one place, and so are joined, too."""
    properties: dict[str, list[Any]] = {}
    items: dict[int, list[Any]] = {}
    other_properties: list[Any] = []
    other_items: list[Any] = []
    for node in nodes:
        for name, child in _object(node, "properties").items():
            properties.setdefault(name, []).append(child)
        other_properties += _object(node, "patternProperties").values()
        other_properties.append(node.get("additionalProperties"))
        other_items += [node.get("items"), node.get("additionalItems")]
        for name in ("prefixItems", "items"):
            if isinstance(listed := node.get(name), list):
                for index, child in enumerate(listed):
                    items.setdefault(index, []).append(child)
    return [
        *_several(properties.values(), other_properties),
        *_several(items.values(), other_items),
    ]


def _object(node: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = node.get(name)
    return value if isinstance(value, Mapping) else {}


def _several(named: Iterable[list[Any]], others: Sequence[Any]) -> list[list[Any]]:
    others = [one for one in others if isinstance(one, Mapping)]
    groups = [[*group, *others] for group in [*named, []]]
    return [group for group in groups if len(group) > 1]
