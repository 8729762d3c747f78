"""The texts that both models read."""

import pytest

from quantize.errors import OptionError
from quantize.measuring import texts
from quantize.measuring.texts import built_in


def test_the_built_in_texts_are_of_three_kinds():
    texts = built_in()
    assert [text.name for text in texts] == ["english", "chinese", "code"]
    assert len({text.sha256 for text in texts}) == 3


def test_the_built_in_texts_are_all_of_some_hundred_words_and_hashed():
    for text in built_in():
        assert len(text.content) > 500
        assert text.most_tokens == texts.LONGEST
        assert len(text.sha256) == 64


def test_files_are_named_by_their_last_part_and_may_be_longer(tmp_path):
    (tmp_path / "a.txt").write_text("eins")
    (tmp_path / "b.md").write_text("二", "utf-8")
    first, second = texts.of_files([tmp_path / "a.txt", tmp_path / "b.md"])
    assert (first.name, first.content, second.name, second.content) == (
        "a.txt",
        "eins",
        "b.md",
        "二",
    )
    assert first.most_tokens > texts.LONGEST
    assert texts.of_files([]) == ()


def test_the_hash_is_of_the_content_alone(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("same")
    first, second = texts.of_files([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert first.sha256 == second.sha256


def test_a_file_that_is_no_text_is_an_error_with_its_name(tmp_path):
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    for name in ("bytes.txt", "absent.txt"):
        with pytest.raises(OptionError, match=f"the text .*{name} cannot be read: ") as told:
            texts.of_files([tmp_path / name])
        assert "Errno" not in str(told.value)
