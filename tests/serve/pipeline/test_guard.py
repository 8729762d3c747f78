"""No text of a client becomes a control token, whatever the tokenizer and the template are."""

# ruff: noqa: E501 - templates stand in a line each
from __future__ import annotations

import functools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from serve.errors import InvalidRequest
from serve.pipeline.guard import MAX_SKELETON_CHARS, NUM_SKELETONS, ControlGuard, encode_plainly
from serve.pipeline.template import ChatTemplate
from serve.pipeline.traced_text import client, mask_of, of_client
from tests.models.chat_templates import SHAPES as SHAPES_OF_TEMPLATES
from tests.serve.pipeline.tokenizer_shapes import ADDED, CONTROL, SHAPES, shape

NAMES = [*CONTROL, *(token.content for token in ADDED if token.content.strip()), "<unk>", "[UNK]"]
HEAD, TAIL = "<s><|im_start|>user\n", "<|im_end|>\n<think>"


@functools.cache
def guard(name: str) -> ControlGuard:
    return ControlGuard(shape(name))


def control_ids(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    """Ids of control tokens; an unknown character's is ordinary text's."""
    names = {*NAMES, "[SEP]"} - {"<unk>", "[UNK]"}
    return [i for i in ids if tokenizer.id_to_token(i) in names]


def folded(text: str) -> list[str]:
    """Forms that a normaliser makes one, and halves."""
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    accented = "".join(c + "\u0301" if c.isalpha() else c for c in text)
    half = len(text) // 2
    return [text, text.upper(), text.title(), wide, accented, text[:half], text[half:], text[::-1]]


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from([form for name in NAMES for form in folded(name)]),
        st.sampled_from(
            [" ", "\n", "\u3000", "word", "q", "<", "|", ">", "\ufdd0", "\0", "\u0301"]
        ),
        st.text(max_size=3),
    ),
    max_size=6,
).map("".join)

TEMPLATES = {
    "as it is": "{{ c }}",
    "trimmed": "{{ c | trim }}",
    "upper": "{{ c | upper }}",
    "lower": "{{ c.lower() }}",
    "reversed": "{{ c | reverse }}{{ c[::-1] }}",
    "sliced": "{{ c[:5] + c[5:] }}",
    "cut and joined": "{{ c.split('X') | join('') }}",
    "replaced": "{{ c | replace('X', '') }}",
    "by characters": "{% for x in c %}{{ x }}{% endfor %}",
    "listed": "{{ c | list | join }}",
    "collected": "{% set n = namespace(t='') %}{% for x in c %}{% set n.t = n.t ~ x %}{% endfor %}{{ n.t }}",
    "two fields": "{{ c }}{{ d }}",
    "two fields, added": "{{ c + d }}",
    "in json": "{{ {'a': c} | tojson }}",
    "in ascii json": "{{ c | tojson(ensure_ascii=true) }}",
    "a value's own text": "{{ [c, d] }}{{ {c: 1} }}",
    "formatted": "{{ '%s-%s' % (c, d) }}{{ '{}{}'.format(c, d) }}{{ '%s' | format(c) }}",
    "block": "{% filter upper %}{{ c }}{% endfilter %}{% set t %}{{ c }}{% endset %}{{ t }}",
    "macro": "{% macro m(x) %}{{ x }}{{ caller() }}{% endmacro %}{% call m(c) %}{{ d }}{% endcall %}",
    "decoded": "{{ c.encode('utf-8', 'replace').decode() }}",
    "wrapped": "{{ c | wordwrap(9) }}{{ c | indent }}{{ c | title }}{{ c | center(40) }}",
    "escaped": "{{ c | e }}{{ c | safe }}{{ ('' | safe) + c }}{{ c | striptags }}",
    "mapped": "{{ [c, d] | map('upper') | join('|') }}{{ [c, d] | sort | first }}",
    "chosen": "{% if c %}{{ {c: '<|im_end|>'}[c] }}{{ {c: '<|im_end|>'}.get(c) }}{% endif %}",
    "put in": "{{ c | replace('q', '<|im_end|>') }}",
    "between": "<|im_{{ c }}|>{{ d }}",
}


@pytest.mark.parametrize("name", SHAPES)
@given(c=HOSTILE, d=HOSTILE, made=st.sampled_from([*TEMPLATES]))
def test_control_tokens_are_those_of_the_template_alone(
    name: str, c: str, d: str, made: str
) -> None:
    tokenizer = guard(name)._tokenizer
    text = rendered(made, c, d)
    ids = guard(name).encode(text)
    assert control_ids(tokenizer, ids) == control_ids(tokenizer, guard(name).encode(HEAD + TAIL))


def rendered(made: str, c: str, d: str) -> str:
    template = compiled(
        HEAD + "{% set c, d = messages[0].c, messages[0].d %}" + TEMPLATES[made] + TAIL
    )
    return template.render([of_client({"c": c, "d": d})], [])


@functools.cache
def compiled(source: str) -> ChatTemplate:
    return ChatTemplate(source, {})


ORDINARY = st.lists(
    st.one_of(
        st.sampled_from(
            ["The audit log", " is", "    ", "\t", "Grüße", "🙂", "\ufdd0", "\0", "end", "e\u0301"]
        ),
        st.text(st.characters(codec="utf-8", exclude_characters="<>[]|＜＞［］｜"), max_size=8),
    ),
    max_size=6,
).map(" ".join)


@pytest.mark.parametrize("name", SHAPES)
@given(c=ORDINARY, d=ORDINARY)
def test_an_ordinary_prompt_has_the_ids_of_the_reference(name: str, c: str, d: str) -> None:
    """As the tokenizer alone encodes it, by the quick way and by the careful one."""
    text = HEAD + client(c) + "<|im_end|> " + client(d) + TAIL
    reference = guard(name)._tokenizer.encode(str.__str__(text), add_special_tokens=False).ids
    assert guard(name).encode(text) == reference
    assert carefully(guard(name), text) == reference


def carefully(guard: ControlGuard, text: str) -> list[int]:
    """The ids by the plain copy, which are taken where a client wrote a control token's name."""
    shrunk, offsets = guard._shrunk(text, mask_of(text))
    return encode_plainly(guard._plain, guard._with_names(text, guard._skeleton(shrunk), offsets))


@pytest.mark.parametrize("name", ["byte-level", "byte-level, whole words first"])
@given(c=HOSTILE, d=HOSTILE)
def test_the_ids_decode_to_the_rendered_text(name: str, c: str, d: str) -> None:
    text = HEAD + client(c) + "<|im_end|>" + client(d) + TAIL
    tokenizer = guard(name)._tokenizer
    assert tokenizer.decode(guard(name).encode(text), skip_special_tokens=False) == text


@pytest.mark.parametrize("name", ["llama", "unigram, first", "unigram, always"])
@pytest.mark.parametrize("text", ["log</s>log", "</s>", "is <s> the", "log<|im_end|>", "is   </s>"])
def test_no_space_appears_around_a_name_that_a_client_wrote(name: str, text: str) -> None:
    tokenizer = guard(name)._tokenizer
    ids = guard(name).encode(client(text))
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert not control_ids(tokenizer, ids)


@pytest.mark.parametrize("name", SHAPES)
def test_each_added_token_is_plain_text_from_a_client_and_itself_from_a_template(name: str) -> None:
    tokenizer = guard(name)._tokenizer
    for token in NAMES:
        token_id = tokenizer.token_to_id(token)
        if token_id is None or token in {"<unk>", "[UNK]"}:
            continue
        assert token_id not in guard(name).encode(client(token))
        assert guard(name).encode(f" {token} ").count(token_id) == 1
        both = guard(name).encode(f" {token} " + client(token) + f" {token} ")
        assert both.count(token_id) == 2


def test_runs_of_white_space_that_are_added_tokens_are_ordinary_text() -> None:
    spaces = guard("byte-level")._tokenizer.token_to_id("    ")
    assert spaces in guard("byte-level").encode(client("a    b"))
    assert spaces in guard("byte-level").encode(client("a    b<|im_end|>"))


def test_what_a_client_writes_next_to_a_token_does_not_take_it_away() -> None:
    """A longer token that begins in a client's text, and accents that would be composed."""
    tokenizer = shape("byte-level")
    tokenizer.add_tokens(["x<think>", "<think>y"])
    made = ControlGuard(tokenizer)
    think = tokenizer.token_to_id("<think>")
    for text in (client("x") + "<think>", "<think>" + client("y"), client("<") + "<think>"):
        assert made.encode(text).count(think) == 1
        assert tokenizer.decode(made.encode(text)) == text
    folding = guard("folding")
    inst = folding._tokenizer.token_to_id("[inst]")
    assert folding.encode("[INST]" + client("\u0338a")).count(inst) == 1


def test_a_name_of_the_copy_is_no_name_for_a_client() -> None:
    """Names are drawn anew at each start, and none begins another."""
    made, again = guard("byte-level"), ControlGuard(shape("byte-level"))
    names = sorted(made._names.values())
    assert not set(names) & set(again._names.values())
    assert not any(longer.startswith(name) for name in names for longer in names if longer != name)


def test_a_token_that_cannot_be_told_apart_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ControlGuard(shape("byte-level"))
    made._named = made._reference  # as if the copy still knew the token by its name
    with pytest.raises(InvalidRequest, match="cannot tell from its control tokens") as refused:
        made.encode("<s>" + client("</s>"))
    assert refused.value.param == "messages"


def test_skeletons_are_kept_and_their_number_is_bounded() -> None:
    made = ControlGuard(shape("byte-level"))
    for text in ("the log", "other words", "more"):
        made.encode("<s>" + client(text))
    assert made._kept_skeleton.cache_info().misses == 1
    long = "<s>".join(client("x") for _ in range(MAX_SKELETON_CHARS))
    assert made.encode(long).count(made._tokenizer.token_to_id("<s>")) == MAX_SKELETON_CHARS - 1
    assert made._kept_skeleton.cache_info().currsize == 1
    assert made._kept_skeleton.cache_info().maxsize == NUM_SKELETONS


def test_a_tokenizer_without_added_tokens_has_nothing_to_guard() -> None:
    tokenizer = Tokenizer.from_str(shape("byte-level").to_str())
    bare = Tokenizer(tokenizer.model)
    bare.pre_tokenizer = tokenizer.pre_tokenizer
    assert ControlGuard(bare).encode("a" + client("b")) == bare.encode("ab").ids


CONTROL_NAMES = re.compile(r"<\|[\w ]+\|>|</?[\w]+>|\[/?[A-Z_]+\]")


def family(name: str) -> tuple[ChatTemplate, Tokenizer]:
    """A published shape of template, and a tokenizer with its control tokens, not all special."""
    tokenizer = shape("byte-level")
    names = sorted({*CONTROL_NAMES.findall(SHAPES_OF_TEMPLATES[name])})
    roles = ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "</think>", "<think>"]
    tokenizer.add_tokens(
        [AddedToken(n, special=i % 2 == 0) for i, n in enumerate([*names, *roles])]
    )
    return ChatTemplate(
        SHAPES_OF_TEMPLATES[name], {"bos_token": "<s>", "eos_token": "</s>"}
    ), tokenizer


def conversation(text: str, name: str) -> list[dict[str, object]]:
    content: object = [{"type": "text", "text": text}] if name == "gemma" else text
    return [{"role": role, "content": content} for role in ("user", "assistant", "user")]


@pytest.mark.parametrize(
    "name", ["chatml", "qwen2.5", "qwen3", "llama3.1", "gemma", "phi3", "deepseek"]
)
def test_templates_as_published_make_their_tokens_and_no_client_does(name: str) -> None:
    template, tokenizer = family(name)
    made = ControlGuard(tokenizer)
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    control = {
        i for i, token in tokenizer.get_added_tokens_decoder().items() if token.content.strip()
    }

    def ids(text: str, *, traced: bool) -> list[int]:
        messages = conversation(text, name)
        roles = [message["role"] for message in messages]
        sent = [
            {**(of_client(m) if traced else m), "role": role}
            for m, role in zip(messages, roles, strict=True)
        ]
        return made.encode(template.render(sent, []))

    harmless = ids("What is an audit log?", traced=True)
    assert harmless == ids("What is an audit log?", traced=False), "as the reference has it"
    expected = [i for i in harmless if i in control]
    assert expected or name == "deepseek"
    for text in ("".join(added), " ".join(added), "".join(added)[::-1]):
        assert [i for i in ids(text, traced=True) if i in control] == expected


def test_reasoning_that_a_template_takes_off_is_taken_off() -> None:
    """A template sees a client's `</think>` as it is: Qwen3's splits answers of the past by it."""
    template, tokenizer = family("qwen3")
    answered = "<think>\nwhy\n</think>\n\nBecause <|im_end|>."
    source = (
        "{% if '</think>' in c %}{{ c.split('</think>')[-1].lstrip('\n') }}<|im_end|>{% endif %}"
    )
    text = ChatTemplate("{% set c = messages[0].c %}" + source, {}).render(
        [of_client({"c": answered})], []
    )
    ids = ControlGuard(tokenizer).encode(text)
    assert tokenizer.decode(ids, skip_special_tokens=False) == "Because <|im_end|>.<|im_end|>"
    end = tokenizer.token_to_id("<|im_end|>")
    assert (ids.count(end), ids[-1]) == (1, end)
    assert ids[-2] != end
    assert "why" not in template.render([of_client(m) for m in conversation(answered, "qwen3")], [])


class LetsGoOfTheLock:
    """A tokenizer that refuses the one call which keeps the interpreter lock for a whole text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> object:
        assert name != "encode", "encode() holds up every other thread; encode a batch of one"
        return getattr(self._tokenizer, name)


@pytest.mark.parametrize("name", SHAPES)
def test_prompts_and_skeletons_are_encoded_without_the_interpreter_lock(name: str) -> None:
    watching = ControlGuard(LetsGoOfTheLock(shape(name)))  # type: ignore[arg-type]
    text = client("a word " * MAX_SKELETON_CHARS) + HEAD + client("x") + TAIL
    assert watching.encode(text) == guard(name).encode(text)


def test_a_probe_that_the_library_fails_on_ends_no_start() -> None:
    tokenizer = Tokenizer.from_str(shape("byte-level").to_str())
    tokens = [
        AddedToken("<r>", rstrip=True, normalized=False),
        AddedToken(" ", lstrip=True, normalized=False),
    ]
    tokenizer.add_tokens(tokens)
    with pytest.raises(BaseException, match="AddedVocabulary bad split"):
        tokenizer.encode("<r>  .")
    guard = ControlGuard(tokenizer)
    text = "<|im_start|>" + client("About <|im_end|> that. " * 40) + "<|im_end|>"
    assert guard.encode(text, "owner") == guard.encode(text)
