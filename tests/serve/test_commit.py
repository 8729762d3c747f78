"""The commit of these sources: from a wheel, a clone, a worktree, packed references."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve import commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_clone_says_where_it_is(tmp_path: Path) -> None:
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/main\n")
    write(tmp_path / ".git" / "refs/heads/main", f"{COMMIT}\n")
    assert commit.of_checkout(tmp_path) == COMMIT
    assert commit.of_package(tmp_path / "serve") == COMMIT


def test_references_that_git_packed_are_found(tmp_path: Path) -> None:
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/main\n")
    packed = f"# pack-refs with: peeled\n{OTHER} refs/heads/main2\n{COMMIT} refs/heads/main\n"
    write(tmp_path / ".git" / "packed-refs", packed)
    assert commit.of_checkout(tmp_path) == COMMIT


def test_a_worktree_looks_where_its_file_says(tmp_path: Path) -> None:
    write(tmp_path / "tree" / ".git", f"gitdir: {tmp_path}/clone/.git/worktrees/tree\n")
    own = tmp_path / "clone" / ".git" / "worktrees" / "tree"
    write(own / "HEAD", "ref: refs/heads/side\n")
    write(own / "commondir", "../..\n")
    write(tmp_path / "clone" / ".git" / "refs/heads/side", f"{COMMIT}\n")
    assert commit.of_checkout(tmp_path / "tree") == COMMIT


def test_a_head_without_a_branch_is_the_commit(tmp_path: Path) -> None:
    write(tmp_path / ".git" / "HEAD", f"{COMMIT}\n")
    assert commit.of_checkout(tmp_path) == COMMIT


@pytest.mark.parametrize("head", ["", "ref: refs/heads/new\n", "nonsense\n"])
def test_what_is_not_known_is_none(tmp_path: Path, head: str) -> None:
    assert commit.of_package(tmp_path / "serve") is None
    write(tmp_path / ".git" / "HEAD", head)
    assert commit.of_checkout(tmp_path) is None


@pytest.mark.parametrize(("baked", "told"), [(COMMIT, COMMIT), ("unknown", None)])
def test_a_wheel_says_what_was_written_into_it(
    tmp_path: Path, baked: str, told: str | None
) -> None:
    write(tmp_path / ".git" / "HEAD", f"{OTHER}\n")  # of a repository that it is installed within
    write(tmp_path / "serve" / commit.BAKED, f"{baked}\n")
    assert commit.of_package(tmp_path / "serve") == told
