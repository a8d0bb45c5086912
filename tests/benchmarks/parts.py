"""What a training step's time goes into: prints milliseconds of its parts by family, writes nothing.

`python -m tests.benchmarks.parts --families dnn nfwfm`; the shape is that of the training steps, as a study's workers
run, by the default optimizer. Between two versions of the code: copy this file, and run both in turn.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from recscale.records import ModelSpec
from tests.benchmarks.measure import Side, in_turn, in_words
from tests.benchmarks.steps import BATCH, BATCHES, DEFAULT, command_line, model_of, our_run, steps_of
from tests.benchmarks.world import vocabulary_sizes, zipf_dataset


def main() -> None:
    """Medians of every turn's mean step, and their extremes."""
    options = command_line(__doc__, ["dnn", "nfwfm"], repeats=9).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        zipf_dataset(Path(folder) / "steps", BATCH * BATCHES, vocabulary_sizes())
        for family in options.families:
            model = model_of(family, options.scale, options.sets)
            (turns,) = in_turn([Side.ours(prepared, Path(folder) / "steps", model)], options.repeats)
            for part in turns[0]:
                print(f"{family:10} {part:18} {in_words([turn[part] for turn in turns])}", flush=True)


def prepared(folder: Path, model: ModelSpec) -> Callable[[], dict[str, float]]:
    """Seconds per step of every part, of the next steps."""
    run = our_run(folder, model, DEFAULT)
    tables, dense = run.optimizers
    spent: dict[str, list[float]] = {}
    for part, owner, name in (
        ("rows catch up", tables, "catch_up"),
        ("lookup", run.model.tables, "forward"),
        ("model", run.model, "score"),
        ("backward", torch.autograd, "backward"),
        ("tables' optimizer", tables, "step"),
        ("dense optimizer", dense, "step"),
        ("whole step", run, "_optimize"),
    ):
        spent[part] = []
        setattr(owner, name, _timed(getattr(owner, name), spent[part]))
    steps = steps_of(run)

    def turn() -> dict[str, float]:
        for each in spent.values():
            each.clear()
        steps()
        return {part: sum(each) / len(each) for part, each in spent.items()}

    return turn


def _timed(call: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """The call, which notes its seconds."""

    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        returned = call(*arguments, **named)
        spent.append(time.perf_counter() - started)
        return returned

    return timed


if __name__ == "__main__":
    main()
