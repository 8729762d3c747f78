"""Scripts: the same from the same seed, of the asked sizes, and with nothing in common."""

from __future__ import annotations

import json

from benchmarks.agent import scripts
from benchmarks.agent.reuse import common_prefix


def words(text: str) -> int:
    return len(text.split())


def test_the_same_arguments_give_the_same_text():
    one, same = (scripts.write("Ada", seed=1, count=words) for _ in range(2))
    assert one == same
    assert scripts.write("Ada", seed=2, count=words) != one


def test_sizes_are_as_asked():
    script = scripts.write("Ada", seed=0, count=words, num_turns=7, system_tokens=900)
    listed = "\n".join(json.dumps(tool) for tool in script.tools)
    assert 900 <= words(script.system + listed) < 930
    assert len(script.turns) == 7
    for turn in script.turns:
        assert 56 <= words(turn.question) < 76
        assert 56 <= words(turn.result) < 76
    assert len({turn.question for turn in script.turns}) == 7


def test_no_room_still_gives_a_prompt_and_turns():
    script = scripts.write("Ada", seed=0, count=words, system_tokens=1, turn_tokens=0)
    assert script.system.count("\n") == 1
    assert all(turn.question and turn.result for turn in script.turns)


def test_two_agents_have_only_their_first_words_in_common():
    ada, boole = (scripts.write(name, seed=0, count=words) for name in ("Ada", "Boole"))
    assert common_prefix(ada.system.split(), boole.system.split()) == 2
    assert {turn.question for turn in ada.turns}.isdisjoint(turn.question for turn in boole.turns)


def test_tools_as_text_are_in_the_system_prompt_alone():
    plain = scripts.write("Ada", seed=0, count=words)
    text = scripts.write("Ada", seed=0, count=words, has_tools_as_text=True)
    assert text.tools == ()
    assert text.turns == plain.turns
    assert text.system.startswith(plain.system)
    for tool in plain.tools:
        assert json.dumps(tool) in text.system
