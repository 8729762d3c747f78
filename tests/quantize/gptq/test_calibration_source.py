"""What --calibrate names, before its text is read."""

import os

import pytest

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.gptq.calibration_source import SELF, memory_bytes, source_mark
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions
from quantize.protocol import Method
from tests.quantize.gptq.test_run import work
from tests.quantize.source_tensors import model, tensor

OPTIONS = QuantOptions(scheme=QuantScheme.INT4)


def test_memory_grows_with_the_text_and_the_widest_layer(tmp_path):
    plan, _ = work(tmp_path / "x", Method.GPTQ, "self").plan()
    assert plan.peak_memory_bytes == memory_bytes(plan, "self") > memory_bytes(plan, "x.txt") / 2


def test_a_file_is_marked_by_its_bytes_and_not_by_its_name(tmp_path):
    for name, content in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).write_text(content)
    first, same, other = (source_mark(str(tmp_path / name)) for name in "abc")
    assert first == same != other
    assert len(first) == 12
    assert source_mark(SELF) == "self"


def test_a_file_that_is_not_there_is_an_error_before_any_work(tmp_path):
    for path in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(OptionError, match=rf"--calibrate {path} cannot be read: \w+"):
            source_mark(str(path))


def test_the_widest_layer_counts_and_not_the_vocabulary():
    joined = tensor("model.layers.0.mlp.gate_up_proj.weight", 2 * 4096, 256)
    small, _ = plan(model(hidden=256, inner=512), {}, OPTIONS)
    wide, _ = plan([*model(hidden=256, inner=4096), joined], {}, OPTIONS)
    activations = 4 * 4 * 512 * 32 * (2 * 4096 - 512)
    sums = 3 * 4 * (4096**2 - 512**2)  # of inputs alone
    assert memory_bytes(wide, "x.txt") - memory_bytes(small, "x.txt") == activations + sums


def test_a_model_that_writes_itself_is_held_whole():
    many = model(hidden=4096, inner=8192) * 20
    made, _ = plan(many, {}, OPTIONS)
    assert memory_bytes(made, SELF) - made.source_bytes == 650_000_000
    assert memory_bytes(made, "x.txt") < made.source_bytes


@pytest.mark.parametrize(("name", "kind"), [("pipe", "a pipe"), ("/dev/zero", "a device")])
def test_a_source_without_an_end_is_refused_unread(tmp_path, name, kind):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OptionError, match=f"cannot be read: is not a plain file but {kind}"):
        source_mark(str(tmp_path / name))


def test_a_source_that_is_no_text_is_refused_before_the_long_work(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"\xff\xfeh\0i\0")
    with pytest.raises(OptionError, match=r"t\.txt cannot be read: is not UTF-8 text"):
        source_mark(str(tmp_path / "t.txt"))
