"""The body of /v1/feedback."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from models.rules.names import quoted
from serve.api.openai.bodies import Body
from serve.api.openai.fields import FieldTable
from serve.errors import InvalidRequest
from serve.governance.feedback.feedback import (
    MAX_LABEL_CHARS,
    MAX_LABELS,
    MAX_TEXT_CHARS,
    MILLI,
    Feedback,
)

NO_FIELDS: Final = FieldTable(ignored={}, refused={})
"""Nothing is passed over here: what is not declared is an error."""
SHOWN_CHARS: Final = 60

Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)]


class FeedbackRequest(Body):
    """A score, and what else there is to say of an answer."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    score: Annotated[float, Field(ge=-1, le=1)]
    labels: Annotated[list[Label], Field(max_length=MAX_LABELS)] | None = None
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = None

    def feedback(self) -> Feedback:
        """The feedback.

        Raises:
            InvalidRequest: a score with more than three decimals, or a label that comes twice or
                cannot be printed.
        """
        score_milli = round(self.score * MILLI)
        if abs(self.score * MILLI - score_milli) > 1e-6:
            raise InvalidRequest(
                f"score is {self.score}: a number from -1 to 1 with at most three decimals is "
                "needed.",
                param="score",
            )
        labels = tuple(self.labels or ())
        for at, label in enumerate(labels):
            if not label.isprintable():
                raise InvalidRequest(
                    f"labels[{at}] has characters that cannot be printed. Leave them out.",
                    param=f"labels[{at}]",
                )
            if label in labels[:at]:
                raise InvalidRequest(
                    f"labels has {quoted(label[:SHOWN_CHARS])} twice: name it once.",
                    param=f"labels[{at}]",
                )
        return Feedback(score_milli=score_milli, labels=labels, text=self.text)
