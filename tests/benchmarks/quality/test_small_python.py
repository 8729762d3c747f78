"""What a function means, without running it: the same as Python's own, or refused."""

from __future__ import annotations

import pytest

from benchmarks.quality.python_operations import Refused
from benchmarks.quality.small_python import call

RIGHT = {
    "def f(n):\n r = 1\n for i in range(1, n + 1):\n  r *= i\n return r": [5],
    "def f(n):\n c = 0\n while n > 1:\n  n = n // 2 if n % 2 else n - 1\n  c += 1\n return c": [27],
    "def f(n):\n if n < 2:\n  return n\n return f(n - 1) + f(n - 2)": [10],
    "def f(s):\n return s[::-1] + s[1:3]": ["abcd"],
    "def f(s):\n return ' '.join(w.capitalize() for w in s.split())": ["a b c"],
    "def f(n):\n return [(i, j) for i in range(n) for j in range(i) if i != j]": [4],
    "def f(s):\n d = {}\n for c in s:\n  d[c] = d.get(c, 0) + 1\n return d": ["hello"],
    "def f(n):\n a, b = 0, 1\n for _ in range(n):\n  a, b = b, a + b\n return a": [30],
    "def g(x, y=2):\n return x * y\ndef f(x):\n '''doc'''\n return g(x) + g(x, 3)": [4],
    "def f(x):\n return 0 < x < 10 and not x == 5 or None": [7],
    "def f(x):\n for i in range(x):\n  if i == 7:\n   break\n else:\n  return 0\n return 1": [5],
    "def f(x):\n return f'{x} is {x + 1}'": [3],
    "def f(d):\n return sorted([v for k, v in d.items()], reverse=True)": [{"a": 1, "b": 2}],
    "def f(x):\n l = [0, 1]\n l[0] += x\n l.append(-x)\n return l": [3],
    "def f(s):\n return {c: i for i, c in enumerate(s)}": ["abc"],
}


@pytest.mark.parametrize(("source", "arguments"), RIGHT.items(), ids=range(len(RIGHT)))
def test_it_means_what_python_means(source, arguments):
    names: dict[str, object] = {}
    exec(source, names)  # our own text, above
    assert call(source, "f", arguments) == names["f"](*arguments)


WRONG = [
    "import os\ndef f():\n return os.getcwd()",
    "def f():\n import os\n return 1",
    "def f():\n return __import__('os')",
    "def f():\n return open('/etc/passwd').read()",
    "def f():\n return ().__class__.__bases__",
    "def f():\n return 'x'.format(1)",
    "def f():\n return eval('1')",
    "def f():\n return getattr([], 'append')",
    "def f():\n return '%s' % 1",
    "def f():\n while True:\n  pass",
    "def f():\n return f()",
    "def f():\n return 9 ** 9 ** 9",
    "def f():\n return 'a' * 10 ** 9",
    "def f():\n x = [1]\n while True:\n  x.extend(x)",
    "def f():\n x = 'a' * 1000\n return x.replace('a', x).replace('a', x)",
    "def f():\n return sum(range(10 ** 12))",
    "def f():\n return [].append.__self__",
    "def f():\n return 1 / 0",
    "def f():\n return [1][5]",
    "def f():\n break",
    "def f():\n return (lambda: 1)()",
    "class f:\n pass",
    "def g():\n return 1",
    "def f(x):\n return x",
    "f = 1",
    "def f(:",
    "def f():\n return " + "(" * 300 + "1" + ")" * 300,
    "def f():\n return 1\n" + "# x\n" * 2000,
]


@pytest.mark.parametrize("source", WRONG)
def test_all_else_is_refused_and_ends(source):
    with pytest.raises(Refused):
        call(source, "f", [])


def test_an_answer_that_was_cut_off_counts_as_far_as_it_goes():
    assert call("def f(x):\n return x + 1\n\ndef test():\n  cases = [(1, 2), (", "f", [1]) == 2
    with pytest.raises(Refused, match="defines no f"):
        call("x = 1\ndef f(x):\n return (x +", "f", [1])


def test_arguments_of_another_number_are_refused():
    with pytest.raises(Refused, match="other arguments"):
        call("def f(x, y):\n return x", "f", [1, 2, 3])
