"""An engine that stands in for vLLM with the worker of vllm_worker.py in it."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from benchmarks.quality import vllm_forcing
from serve.engine.fake import FakeEngine
from serve.engine.protocol import TokenChunk
from serve.engine.settings import EngineSettings, FakeSettings

VOCAB = 50


class Standing(FakeEngine):
    """Says what it is made to say; its logits tell the token and how much came before it.

    Args:
        folder: where plans and rows meet.
        loses: the first rows of every request that it does not write.
        says: added to each token that it should say.
        factor: of its logits.
        vocab: words of a row.
    """

    def __init__(
        self,
        folder: Path,
        *,
        loses: int = 0,
        says: int = 0,
        factor: float = 1.0,
        vocab: int = VOCAB,
    ) -> None:
        super().__init__(EngineSettings(max_model_len=512, fake=FakeSettings(vocab_size=vocab)))
        self.folder, self.loses, self.says, self.most = folder, loses, says, 0
        self.factor, self.vocab = factor, vocab

    async def stream(self, request):
        plan = vllm_forcing.plan_path(self.folder, request.prompt_token_ids)
        tokens = json.loads(plan.read_bytes())
        with vllm_forcing.rows_path(plan).open("wb") as file:
            for number, token in enumerate(tokens[self.loses :]):
                row = logits(len(request.prompt_token_ids) + number, token, self.vocab)
                file.write((self.factor * row).numpy().tobytes())
        self.most = max(self.most, sum(p.stat().st_size for p in self.folder.glob("*.rows")))
        yield TokenChunk(token_ids=[token + self.says for token in tokens], finish_reason="length")


def logits(before: int, token: int, vocab: int = VOCAB) -> torch.Tensor:
    row = torch.zeros(vocab)
    row[0], row[1] = before, token
    return row
