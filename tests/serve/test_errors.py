"""The errors: one tree, one code each, and a way to try again where that helps."""

from __future__ import annotations

import pytest

import serve.errors
from docs import generate
from serve.errors import (
    InternalError,
    InvalidRequest,
    QueueFull,
    RequestError,
    ServeError,
    StartupError,
    TooManyFailures,
    Unavailable,
)

ERRORS = list(generate.request_errors())


def test_the_error_tree_is_drawn_as_it_is() -> None:
    drawing = (serve.errors.__doc__ or "").splitlines()
    for error in generate.request_errors():
        (line,) = (line for line in drawing if f"─ {error.__name__} " in line + " ")
        assert str(error.status) in line
    for parent in (serve.errors.ServeError, serve.errors.StartupError, serve.errors.RequestError):
        assert any(parent.__name__ in line for line in drawing)


def test_error_codes_are_unique() -> None:
    codes = [error.code for error in generate.request_errors()]
    assert len(codes) == len(set(codes))


def test_a_failed_start_is_no_answer_to_a_client() -> None:
    assert issubclass(StartupError, ServeError)
    assert not issubclass(StartupError, RequestError)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_types_follow_from_the_status(error: type[RequestError]) -> None:
    assert 400 <= error.status < 600
    client = "invalid_request_error"
    of_limits = {"rate_limit_exceeded": "rate_limit_error", "insufficient_quota": error.code}
    expected = client if error.status < 500 else "server_error"
    assert error.type == of_limits.get(error.code, expected)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_a_503_says_when_to_try_again_and_nothing_else_does(error: type[RequestError]) -> None:
    if error is TooManyFailures:  # the one whose end is known always
        assert error("why", retry_after_s=3).retry_after_s == 3
        return
    retry_after_s = error("why").retry_after_s
    assert retry_after_s == (1 if error.status == 503 else None)
    assert issubclass(error, Unavailable) == (error.status == 503)


def test_an_error_keeps_message_and_field() -> None:
    error = InvalidRequest("n is 0: at least 1.", param="n")
    assert (str(error), error.message, error.param) == (error.message, "n is 0: at least 1.", "n")
    assert InvalidRequest("why").param is None
    full = QueueFull("why", retry_after_s=7, param="n")
    assert (full.retry_after_s, full.param) == (7, "n")


def test_what_nobody_named_is_a_defect_without_detail() -> None:
    assert (RequestError.status, RequestError.code) == (500, "internal_error")
    assert InternalError.code == "internal_error"
