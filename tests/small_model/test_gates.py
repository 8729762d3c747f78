"""What quantising measures of this model: right schemes pass their gates, planted ones do not."""

from __future__ import annotations

import pytest

from models import store
from models.progress import Progress, Silent
from models.quality import Quality
from models.refs import QuantScheme
from quantize.measuring import gates
from quantize.measuring.texts import built_in
from quantize.plan.scheme_plan import QuantOptions
from quantize.protocol import Method
from quantize.write.run import Quantisation
from tests.small_model import train

INT8, INT4 = QuantScheme.INT8, QuantScheme.INT4
RIGHT = {
    "int8": (INT8, QuantOptions(scheme=INT8)),
    "int4": (INT4, QuantOptions(scheme=INT4)),
    "int4, rounded to nearest": (INT4, QuantOptions(scheme=INT4, method=Method.RTN)),
    "4 bits that spare no layer": (INT4, QuantOptions(scheme=INT4, sensitive=None)),
}
WRONG = {
    "one scale for a row and for a token, as int8 had": (
        INT8,
        QuantOptions(scheme=QuantScheme.INT8_W8A8),
    ),
    "4 bits, as int8": (INT8, QuantOptions(scheme=INT4)),
    "groups of 128 without zero points, as int4 had": (
        INT4,
        QuantOptions(scheme=INT4, group_size=128, is_symmetric=True, sensitive=None),
    ),
}


def quality(folder, options: QuantOptions) -> Quality:
    made = Quantisation(
        source=store.load_folder(train.WEIGHTS, name="small"),
        options=options,
        target=folder / "made",
        data_dir=folder,
        progress=Progress(Silent()),
        texts=built_in(),
    ).run()
    assert made.quality is not None
    return made.quality


@pytest.mark.parametrize(("scheme", "options"), RIGHT.values(), ids=RIGHT)
def test_the_right_scheme_passes(tmp_path, scheme, options):
    found = quality(tmp_path, options)
    print(found.line)
    assert gates.complaint(found, scheme) is None


@pytest.mark.parametrize(("scheme", "options"), WRONG.values(), ids=WRONG)
def test_a_planted_one_fails(tmp_path, scheme, options):
    found = quality(tmp_path, options)
    print(found.line)
    assert "mean KL divergence" in (gates.complaint(found, scheme) or "")
