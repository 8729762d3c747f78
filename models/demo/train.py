"""Train the demo model: `python -m models.demo.train --minutes 70`.

The tokenizer is learned first, then the network. The learning rate falls to zero exactly when the
minutes are used up, whatever the speed of the machine. A run that was stopped goes on from its
checkpoint when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from models.demo import checkpoint, corpus, network, optimizer, packing, schedule
from models.demo import tokenizer as words

TOKENIZER_SHARDS = 3


@dataclass(frozen=True)
class Recipe:
    """Everything that a run's result depends on, besides the code and the time it is given."""

    seed: int = 7
    length: int = 384
    rows: int = 12
    picked_share: float = 0.4
    matrix_lr: float = 0.016
    other_lr: float = 2.4e-3
    vocabulary: int = words.VOCABULARY
    shape: network.Shape = field(default_factory=network.Shape)
    shard_size: int = corpus.SHARD_SIZE
    compiled: bool = True
    half: bool = True


def batch_at(rows: packing.Rows, index: int, recipe: Recipe) -> network.Batch:
    """Batch `index` of a shard as tensors of fixed shapes, ready for `network.packed_loss`."""
    here = slice(index * recipe.rows, (index + 1) * recipe.rows)
    ids = rows.ids[here]
    room = int(recipe.rows * recipe.length * recipe.picked_share)
    picked = np.flatnonzero(rows.predicts[here].reshape(-1))[:room]
    targets = np.full(room, -100, dtype=np.int64)
    targets[: len(picked)] = ids.reshape(-1)[picked + 1]
    picked = np.pad(picked, (0, room - len(picked)))
    arrays = (ids, rows.documents[here], rows.positions[here], picked, targets)
    return network.Batch(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))


class Run:
    """One training run: the network, its optimizers and how far they are."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, folder: Path) -> None:
        self.recipe, self.tokenizer, self.folder = recipe, tokenizer, folder
        self.model = checkpoint.untrained(recipe.shape, tokenizer, recipe.seed)
        self.optimizers = optimizer.optimizers(self.model, recipe.matrix_lr, recipe.other_lr)
        self.rates = [g["lr"] for o in self.optimizers for g in o.param_groups]
        self.state = checkpoint.RunState()
        self.loss = (
            torch.compile(network.packed_loss, dynamic=False)
            if recipe.compiled
            else network.packed_loss
        )
        self._packed: tuple[tuple[int, str], packing.Rows] | None = None

    def save(self) -> None:
        """Write a checkpoint into the training folder."""
        recipe = asdict(self.recipe)
        checkpoint.save(self.folder, self.model, self.optimizers, self.state, recipe)

    def resume(self) -> None:
        """Go on from the checkpoint in the training folder."""
        saved = checkpoint.read(self.folder)
        saved.restore(self.model, self.optimizers)
        self.state = saved.state
        old = (saved.recipe["length"], saved.recipe["rows"])
        if old != (self.recipe.length, self.recipe.rows):  # other batches: begin a new shard
            self.state.batch = -1

    def _rows(self) -> packing.Rows:
        key = (self.state.shard, self.state.mix)
        if self._packed is None or self._packed[0] != key:
            conversations = corpus.shard(*key, self.recipe.shard_size)
            rows = packing.pack(conversations, self.tokenizer, self.recipe.length, f"{key}")
            self._packed = (key, rows)
        return self._packed[1]

    def next_batch(self, progress: float) -> network.Batch:
        """The next batch; a shard that is used up is followed by one of the mix of the hour."""
        now = self.state
        if now.batch < 0 or (now.batch + 1) * self.recipe.rows > len(self._rows()):
            now.shard, now.batch, now.mix = now.shard + 1, 0, schedule.mix_at(progress)
            recipe = asdict(self.recipe)
            kept = ("length", "rows", "matrix_lr", "other_lr")
            phase = {"mix": now.mix, "weights": corpus.MIXES[now.mix]} | {
                key: recipe[key] for key in kept
            }
            if not now.phases or any(now.phases[-1].get(k) != v for k, v in phase.items()):
                now.phases.append({"step": now.step, "shard": now.shard, **phase})
        now.batch += 1
        return batch_at(self._rows(), now.batch - 1, self.recipe)

    def step(self, batch: network.Batch, factor: float) -> float:
        """One optimizer step with learning rates scaled by `factor`; returns the loss."""
        groups = [g for o in self.optimizers for g in o.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * factor
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.half):
            loss = self.loss(self.model, batch)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for one in self.optimizers:
            one.step()
        self.model.zero_grad()
        return float(loss.detach())


def fit(run: Run, budget: schedule.Budget, save_every_s: float = 180.0, report: int = 20) -> None:
    """Train until the budget is used up, saving and reporting on the way."""
    now = run.state
    last, saved, losses, counted = time.monotonic(), now.seconds, [], now.tokens
    since = now.seconds
    while (progress := budget.progress(now.step, now.seconds)) < 1.0:
        batch = run.next_batch(progress)
        losses.append(run.step(batch, schedule.rate(now.step, progress)))
        now.step += 1
        now.tokens += batch.ids.numel()
        clock = time.monotonic()
        now.seconds += clock - last
        last = clock
        if now.step % report == 0:
            loss = sum(losses) / len(losses)
            speed = (now.tokens - counted) / max(now.seconds - since, 1e-9)
            left = now.seconds * (1 - progress) / max(progress, 1e-9)
            print(
                f"step {now.step} loss {loss:.4f} {speed:,.0f} tok/s"
                f" {now.tokens / 1e6:.1f} M tokens {progress:.1%} done,"
                f" {left / 60:.1f} min left, shard {now.shard} {now.mix}",
                flush=True,
            )
            if now.step % (5 * report) == 0:
                now.losses.append([now.step, round(loss, 4)])
            losses, counted, since = [], now.tokens, now.seconds
        if now.seconds - saved > save_every_s:
            run.save()
            saved = now.seconds


def learn_tokenizer(folder: Path, recipe: Recipe) -> Tokenizer:
    """Learn the tokenizer from the first shards, or read the one that a stopped run left."""
    path = folder / "tokenizer.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        conversations = [
            c for n in range(TOKENIZER_SHARDS) for c in corpus.shard(n, "main", recipe.shard_size)
        ]
        words.train(map(words.render, conversations), recipe.vocabulary).save(str(path))
    return Tokenizer.from_file(str(path))


def record(run: Run, minutes: float, path: Path) -> None:
    """Write the recipe, the phases and the losses of a finished run."""
    now = run.state
    facts: dict[str, Any] = {
        "recipe": asdict(run.recipe),
        "minutes": minutes,
        "steps": now.step,
        "tokens": now.tokens,
        "training_s": round(now.seconds),
        "tokens_per_s": round(now.tokens / max(now.seconds, 1e-9)),
        "corpus_seed": corpus.SEED,
        "shards": now.shard + 1,
        "phases": now.phases,
        "final_loss": now.losses[-1][1] if now.losses else None,
        "losses": now.losses,
        "torch": torch.__version__,
    }
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m models.demo.train",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--minutes", type=float, default=70.0, help="training time; the rate is zero at its end")
    add("--steps", type=int, default=None, help="end after so many steps instead, reproducibly")
    add("--seed", type=int, default=Recipe.seed, help="seed of the network's first weights")
    add("--folder", type=Path, default=checkpoint.default_folder(), help="checkpoints lie here")
    add("--output", type=Path, default=None, help="write the weights here; default: the folder")
    add("--fresh", action="store_true", help="start anew although there is a checkpoint")
    add("--rows", type=int, default=Recipe.rows, help="rows in a batch")
    add("--length", type=int, default=Recipe.length, help="tokens in a row; the longest document")
    add("--matrix-lr", type=float, default=Recipe.matrix_lr, help="highest rate of Muon")
    add("--other-lr", type=float, default=Recipe.other_lr, help="highest rate of AdamW")
    add("--next-shard", action="store_true", help="on resuming, begin a new shard of the data")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--no-compile", action="store_true", help="do without a C++ compiler; slower")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train, export and record."""
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    recipe = Recipe(
        seed=args.seed,
        length=args.length,
        rows=args.rows,
        matrix_lr=args.matrix_lr,
        other_lr=args.other_lr,
        compiled=not args.no_compile,
    )
    if args.fresh:
        for name in (checkpoint.NAME, "tokenizer.json"):
            (args.folder / name).unlink(missing_ok=True)
    run = Run(recipe, learn_tokenizer(args.folder, recipe), args.folder)
    if (args.folder / checkpoint.NAME).exists():
        run.resume()
        if args.next_shard:
            run.state.batch = -1
        print(f"resuming at step {run.state.step}", flush=True)
    count = sum(w.numel() for w in run.model.parameters())
    print(f"{count:,} parameters, {run.tokenizer.get_vocab_size()} entries", flush=True)
    fit(run, schedule.Budget(args.minutes, args.steps))
    run.save()
    output = args.output or args.folder / "weights"
    checkpoint.export(run.model, run.tokenizer, output)
    record(run, args.minutes, output.parent / "training.json")
    print(f"weights in {output}", flush=True)


if __name__ == "__main__":
    main()
