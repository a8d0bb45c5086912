"""Training steps of this checkout and of another commit, in turn: prints milliseconds and ratios, writes nothing.

`python -m tests.benchmarks.versions HEAD~1 --families dnn nfwfm`; the shape is that of the training steps, either side
as its own version's workers run, by the default optimizer. The other commit needs these benchmarks, too.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.measure import Side, compared, in_turn, in_words
from tests.benchmarks.steps import BATCH, BATCHES, command_line
from tests.benchmarks.world import vocabulary_sizes, zipf_dataset

HERE = Path(__file__).parents[2]


def main() -> None:
    """Medians and extremes of both, and of how many times faster this checkout is."""
    parser = command_line(__doc__, ["dnn", "dcnv2"], repeats=9)
    parser.add_argument("commit", help="what to measure against, as git names it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _checkout(options.commit, Path(folder) / "other") as other:
        zipf_dataset(Path(folder) / "steps", BATCH * BATCHES, vocabulary_sizes())
        for family in options.families:
            asked = (Path(folder) / "steps", family, options.scale, options.sets)
            sides = [Side(steps_of_version, (str(root), *asked), _variables(root, folder)) for root in (HERE, other)]
            ours, theirs = in_turn(sides, options.repeats)
            row = compared(family, ours, theirs, "s")
            low, high = row.spread
            times = f"{in_words(ours)} against {in_words(theirs)}"
            print(f"{family:10} {times}: {row.ratio:.2f} times as fast [{low:.2f}, {high:.2f}]", flush=True)


def steps_of_version(root: str, folder: Path, family: str, scale: float, sets: int) -> Callable[[], float]:
    """Seconds per step of the next batches, by the code that lies under `root`."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("recscale", "tests")]:
        del sys.modules[name]
    sys.path[:0] = [f"{root}/platform", root]
    from tests.benchmarks import steps

    prepared = steps.our_steps(folder, steps.model_of(family, scale, sets), steps.DEFAULT)
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in ("recscale", "tests")]
    strangers = {file for module in ours if (file := getattr(module, "__file__", None)) and not file.startswith(root)}
    assert not strangers, f"of another version: {strangers}"
    return prepared


@contextmanager
def _checkout(commit: str, folder: Path) -> Iterator[Path]:
    """A commit's files, as long as they are needed."""
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", folder, commit], cwd=HERE, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=HERE, check=True)


def _variables(root: Path, folder: str) -> dict[str, str]:
    """What that version sets for its workers; and its kernels are compiled for this measurement."""
    code = "import json; from recscale.cluster.environment import WORKERS; print(json.dumps(WORKERS))"
    environment = {**os.environ, "PYTHONPATH": str(root / "platform")}
    told = subprocess.run([sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return {**json.loads(told.stdout), "NUMBA_CACHE_DIR": f"{folder}/kernels"}


if __name__ == "__main__":
    main()
