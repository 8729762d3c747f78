"""Generated code that counts: the context and the code generator of a bounded template.

Jinja compiles a template to Python. Here the code says of each block, literal, comparison and slice
that it runs, by methods of the rendering's context.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.runtime import Context

from serve.pipeline.template_meter import current


class BoundContext(Context):
    """The context of one rendering: generated code counts by its methods."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meter = current()
        self.tick = self.meter.tick
        self.made = self.meter.made

    def turn(self) -> bool:
        """Count an item that a loop's condition looks at; True, to be joined with the condition."""
        self.tick()
        return True

    def weighed(self, value: Any) -> Any:
        """An operand of a comparison, which C code walks through."""
        self.meter.weigh(value)
        return value

    def key(self, value: Any) -> Any:
        """A key, before it is hashed: of a tuple, everything in it, by recursion."""
        if isinstance(value, tuple):
            self.meter.weigh(value)
        return value

    def joined(self, *parts: Any) -> str:
        """``a ~ b ~ c``."""
        meter = self.meter
        meter.tick()
        meter.add(sum([len(p) if isinstance(p, str) else meter.weigh(p) for p in parts]))
        environment: Any = self.environment
        joined: str = environment.joined(parts)
        return joined


class BoundGenerator(CodeGenerator):
    """Jinja's code generator, with what is counted written into the code."""

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        self.writeline("context.tick()")
        super().blockvisit(nodes, frame)

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        if node.test is not None:  # items that it leaves out are turns, too
            node.test = nodes.And(nodes.EnvironmentAttribute("turn"), node.test)
        super().visit_For(node, frame)

    def visit_EnvironmentAttribute(  # noqa: N802 - Jinja's name
        self, node: nodes.EnvironmentAttribute, frame: Frame
    ) -> None:
        if node.name == "turn":
            self.write("context.turn()")
        else:
            super().visit_EnvironmentAttribute(node, frame)

    def visit_ScopedEvalContextModifier(  # noqa: N802 - Jinja's name
        self, node: nodes.ScopedEvalContextModifier, frame: Frame
    ) -> None:
        del frame
        self.fail("a prompt is no HTML: autoescape is not supported", node.lineno)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("context.joined(")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write(")")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("context.made(")
        super().visit_List(node, frame)
        self.write(")")

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        if node.ctx != "load":
            super().visit_Tuple(node, frame)
            return
        self.write("context.made(")
        super().visit_Tuple(node, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("context.made({")
        for pair in node.items:
            self._key(pair.key, frame)
            self.write(": ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("})")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        operands = [node.expr, *(operand.expr for operand in node.ops)]
        is_cheap = all(operand.op in {"eq", "ne"} for operand in node.ops) and any(
            isinstance(operand, nodes.Const) for operand in operands
        )
        self.write("(")
        self._operand(node.expr, frame, is_cheap=is_cheap)
        for operand in node.ops:
            self.write(f" {operators[operand.op]} ")
            self._operand(operand.expr, frame, is_cheap=is_cheap)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        if isinstance(node.arg, nodes.Slice):
            self.write("context.made(")
            super().visit_Getitem(node, frame)
            self.write(")")
            return
        self.write("environment.getitem(")
        self.visit(node.node, frame)
        self.write(", ")
        self._key(node.arg, frame)
        self.write(")")

    def _operand(self, node: nodes.Expr, frame: Frame, *, is_cheap: bool) -> None:
        constants = isinstance(node, nodes.List | nodes.Tuple) and all(
            isinstance(item, nodes.Const) for item in node.items
        )
        if is_cheap or constants or isinstance(node, nodes.Const):
            self.visit(node, frame)
            return
        self.write("context.weighed(")
        self.visit(node, frame)
        self.write(")")

    def _key(self, node: nodes.Expr, frame: Frame) -> None:
        if isinstance(node, nodes.Const):
            self.visit(node, frame)
            return
        self.write("context.key(")
        self.visit(node, frame)
        self.write(")")
