"""The forms of the corpus. Rewritten by us; see ``odd`` for what real models do otherwise."""

from __future__ import annotations

from tests.serve.pipeline.forms.asian_families import CHINESE, DEEPSEEK
from tests.serve.pipeline.forms.chatml_family import PLAIN, QWEN
from tests.serve.pipeline.forms.llama_family import LLAMA, MISTRAL, NEMOTRON
from tests.serve.pipeline.forms.other_families import OTHERS

FORMS = [*PLAIN, *QWEN, *LLAMA, *NEMOTRON, *MISTRAL, *DEEPSEEK, *CHINESE, *OTHERS]
BY_NAME = {form.name: form for form in FORMS}
