"""Runs that quantise and measure, for tests."""

from __future__ import annotations

from models import store
from models.progress import Progress, Silent
from models.refs import QuantScheme
from quantize.measuring.texts import Text
from quantize.plan.scheme_plan import QuantOptions
from quantize.write.result import QuantisedModel
from quantize.write.run import Quantisation

STORY = Text(
    name="story",
    content="def wrap(text, width=70):\n    return TextWrapper(width=width).wrap(text)\n" * 20,
    most_tokens=300,
)


class Notices(Silent):
    """Keeps what the user is told."""

    def __init__(self):
        self.texts = []

    def notice(self, text):
        self.texts.append(text)


def quantised(full, target, scheme=QuantScheme.INT8, texts=(STORY,), view=None) -> QuantisedModel:
    return Quantisation(
        source=store.load_folder(full, name="tiny"),
        options=QuantOptions(scheme=scheme),
        target=target,
        data_dir=target.parent / "data",
        progress=Progress(view or Silent()),
        texts=texts,
    ).run()
