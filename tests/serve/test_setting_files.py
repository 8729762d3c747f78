"""Every setting that is a path is of one kind, so that none is told of by mistake."""

from __future__ import annotations

import typing
from pathlib import Path

from serve.config import Config
from serve.setting_files import FOLDERS, RULE_FILES, SECRET_FILES


def test_every_setting_that_is_a_path_is_known_as_secret_rules_or_folder() -> None:
    paths = {
        name
        for name, field in Config.model_fields.items()
        if Path in {field.annotation, *typing.get_args(field.annotation)}
    }
    assert paths - {"model"} == SECRET_FILES | RULE_FILES | FOLDERS
    assert len(SECRET_FILES) + len(RULE_FILES) + len(FOLDERS) == len(
        SECRET_FILES | RULE_FILES | FOLDERS
    )
