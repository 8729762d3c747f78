"""Tokens and marks that several families of forms share."""

from __future__ import annotations

from functools import partial

from tests.serve.pipeline.forms.form import Form

IM = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
TOOL_CALL = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
THINK = ("<think>", "</think>")
XML_MARKS = ("<function=", "</function>", "<parameter=", "</parameter>")
DROPS = "reasoning of earlier turns is left out once the user speaks again"
PYTHON = "True, False and None for booleans and null in the template; models write JSON's, too"
chatml = partial(Form, special=IM, eos="<|im_end|>", ends=("<|im_end|>",))
