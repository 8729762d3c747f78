"""Blocks of a page become the commands that a reader types."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import commands

PAGE = """\
Prose, and `python -m serve`.

```sh
# a comment alone
make serve   # set up
curl http://h \\
  -d '{"a":
  1}'

for x in 1 2; do
  echo $x
done
```

<!-- not run: needs a cluster -->
```sh
kubectl apply
```

```json
{"no": "command"}
```

```python
print(1)
```
"""


def test_commands_of_one_line_and_of_more(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    found = list(commands(page))
    assert [(command.line, command.shown, command.not_run) for command in found] == [
        (5, "make serve", None),
        (6, "curl http://h", None),
        (10, "for x in 1 2; do", None),
        (17, "kubectl apply", "needs a cluster"),
        (25, "print(1)", None),
    ]
    assert found[1].text.count("\n") == 2
    assert [command.language for command in found][-2:] == ["sh", "python"]


def test_a_command_that_does_not_end_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\necho 'open\n```\n")
    with pytest.raises(ValueError, match="line 2"):
        list(commands(page))
