"""Events of an answer, those that are held, and their tokens."""

from __future__ import annotations

from itertools import count

from serve.pipeline.events import TextDelta, TokenText, ToolCallDelta
from serve.pipeline.model_dialects.telling import Telling, new_call_id


def telling(*, shows_reasoning: bool = True, marks: str = "\udc00") -> Telling:
    numbers = count()
    return Telling(
        index=3,
        shows_reasoning=shows_reasoning,
        marks=marks,
        new_id=lambda: f"id{next(numbers)}",
    )


def token(token_id: int) -> TokenText:
    return TokenText(text="", raw=b"", logprob=0.0, token_id=token_id)


def content(text: str, *tokens: TokenText) -> TextDelta:
    return TextDelta(index=3, text=text, logprobs=tokens)


def test_ids_are_of_openais_form_and_differ() -> None:
    one, other = new_call_id(), new_call_id()
    assert one != other
    assert one.startswith("call_")
    assert len(one) == len("call_") + 24


def test_white_space_before_content_waits_for_it() -> None:
    told = telling()
    told.say("content", "\n ")
    assert told.taken() == []
    told.say("content", " a")
    told.say("content", " ")
    assert told.taken() == [content("\n  a"), content(" ")]


def test_white_space_alone_is_the_answer_unless_something_was_called_or_closed() -> None:
    told = telling()
    told.say("content", "\n")
    told.finish()
    assert told.taken() == [content("\n")]
    called = telling()
    called.say("content", "\n")
    called.call()("f", "{}")
    called.say("content", "\n")
    called.finish()
    assert [type(event) for event in called.taken()] == [ToolCallDelta]
    closed = telling()
    closed.close_content()
    closed.say("content", "\n")
    closed.finish()
    assert closed.taken() == []


def test_a_call_has_its_id_and_name_in_the_first_delta_alone() -> None:
    told = telling()
    tell = told.call()
    tell("f", "")
    tell(None, "")
    tell(None, "{}")
    told.call()("g", "{}")
    assert told.taken() == [
        ToolCallDelta(index=3, call=0, call_id="id0", name="f"),
        ToolCallDelta(index=3, call=0, arguments="{}"),
        ToolCallDelta(index=3, call=1, call_id="id1", name="g", arguments="{}"),
    ]


def test_marks_and_other_surrogates_are_never_told() -> None:
    told = telling()
    told.say("content", "a\udc00b")
    told.say("reasoning", "\udc00")
    told.call()("f", "\udc00{\ud800}")
    text, call = told.taken()
    assert text == content("ab")
    assert isinstance(call, ToolCallDelta)
    assert call.arguments == "{\ufffd}"


def test_what_is_held_is_told_when_it_is_let_go() -> None:
    told = telling()
    told.say("content", "a")
    told.hold(releases_at_call=False)
    told.call()("f", "{}")
    assert told.is_held
    assert told.taken() == [content("a")]
    assert told.taken() == []
    told.release()
    assert [type(event) for event in told.taken()] == [ToolCallDelta]


def test_what_is_given_up_leaves_no_trace() -> None:
    told = telling()
    told.say("content", "\n")
    told.hold(releases_at_call=False)
    told.logprobs.append(token(1))
    told.call()("f", "{}")
    assert told.num_calls == 1
    told.restore()
    assert (told.num_calls, told.taken(), told.is_held) == (0, [], False)
    told.say("content", "a")
    assert told.taken() == [content("\na", token(1))]


def test_a_call_may_let_go_of_what_is_held() -> None:
    told = telling()
    told.hold(releases_at_call=True)
    told.call()("f", "")
    assert len(told.taken()) == 1


def test_tokens_come_with_the_next_text_or_at_the_end() -> None:
    told = telling()
    told.logprobs += [token(1), token(2)]
    told.call()("f", "{}")
    told.say("content", "a")
    told.logprobs.append(token(3))
    assert told.taken()[1:] == [content("a", token(1), token(2))]
    assert told.rest() == [content("", token(3))]
    assert told.rest() == []


def test_tokens_of_hidden_reasoning_are_left_out() -> None:
    told = telling(shows_reasoning=False)
    told.logprobs.append(token(1))
    told.say("reasoning", "a")
    told.logprobs.append(token(2))
    told.say("content", "b")
    assert told.taken() == [content("b", token(2))]
