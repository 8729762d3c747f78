"""The systems that can be compared, and which stand beside each other."""

from __future__ import annotations

from benchmarks.compare.registry import known


def test_ours_come_first_and_labels_are_unique() -> None:
    labels = [system.label for system in known()]
    assert labels[0] == "intramural transformers"
    assert len(labels) == len(set(labels))


def test_every_scheme_of_ours_has_one_of_llama_cpp_beside_it() -> None:
    schemes = {
        name: {system.scheme for system in known() if system.name == name}
        for name in ("intramural transformers", "llama.cpp")
    }
    assert schemes["intramural transformers"] == schemes["llama.cpp"]
