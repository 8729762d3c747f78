"""A setting is one name in three forms."""

from __future__ import annotations

import pytest

from serve.config import Config
from serve.setting_names import ENV_PREFIX, env_of, flag_of


def test_the_forms_of_a_name():
    assert flag_of("max_num_seqs") == "--max-num-seqs"
    assert env_of("max_num_seqs") == "INTRAMURAL_MAX_NUM_SEQS"


@pytest.mark.parametrize("form", [flag_of, env_of])
def test_no_two_settings_share_a_form(form):
    names = list(Config.model_fields)
    assert len({form(name) for name in names}) == len(names)
    assert all(env_of(name).startswith(ENV_PREFIX) for name in names)
