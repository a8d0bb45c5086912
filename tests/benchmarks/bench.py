"""`make bench`: what recscale costs, beside what a user would run instead, on this machine.

Writes results/<machine>.json and .md: a row per measurement. Everything runs in turn; nothing is asserted.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from tests.benchmarks import overhead, preparation, quality, readers, steps
from tests.benchmarks.ceilings import Ceilings, measure_ceilings
from tests.benchmarks.measure import Row
from tests.benchmarks.world import vocabulary_sizes, zipf_dataset

RESULTS = Path(__file__).parent / "results"
VERSIONS = ("torch", "numpy", "numba", "pyarrow", "duckdb", "ray", "scikit-learn")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    repeats: int
    """Of every comparison."""
    loader_rows: int
    """Rows of the dataset that loaders read."""
    prepared_rows: int
    """Rows of the Criteo-format file."""
    trials: int
    """Tiny trials whose overhead is taken."""


QUICK = Size(repeats=3, loader_rows=600_000, prepared_rows=400_000, trials=40)
FULL = Size(repeats=15, loader_rows=2_000_000, prepared_rows=1_000_000, trials=100)
FINISHED = 1000
"""Trials of the finished study that is resumed."""


def main() -> None:
    """Runs the chosen parts and writes what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="more repeats, more rows: about an hour")
    parser.add_argument("--only", nargs="+", choices=[*PARTS], default=[*PARTS], help="parts to measure again")
    parser.add_argument("--machine", default=machine_name(), help="name of the files of results")
    options = parser.parse_args()
    size = FULL if options.full else QUICK
    ceilings = measure_ceilings(torch.device("cpu"))
    path = RESULTS / f"{options.machine}.json"
    kept = json.loads(path.read_text())["parts"] if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for part in options.only:
            rows = []
            for row in PARTS[part](Path(folder), size, ceilings):
                print(line(row), flush=True)
                rows.append(asdict(row))
            kept[part] = {"environment": environment(), "ceilings": asdict(ceilings), "rows": rows}
            write(path, {part: kept[part] for part in PARTS if part in kept})


def _steps(folder: Path, size: Size, ceilings: Ceilings) -> Iterator[Row]:
    yield from steps.measure(_steps_data(folder), size.repeats, ceilings.gflops)


def _sets(folder: Path, size: Size, ceilings: Ceilings) -> Iterator[Row]:
    yield from steps.measure_ours(_steps_data(folder), size.repeats)


def _steps_data(folder: Path) -> Path:
    path = folder / "steps"
    if not path.exists():
        zipf_dataset(path, steps.BATCH * steps.BATCHES, vocabulary_sizes())
    return path


def _readers(folder: Path, size: Size, ceilings: Ceilings) -> Iterator[Row]:
    zipf_dataset(folder / "readers", size.loader_rows, vocabulary_sizes())
    yield from readers.measure(folder / "readers", size.repeats)


def _quality(folder: Path, size: Size, ceilings: Ceilings) -> Iterator[Row]:
    yield from quality.measure(size.repeats)


def _preparation(folder: Path, size: Size, ceilings: Ceilings) -> Iterator[Row]:
    yield from preparation.measure(size.prepared_rows, max(size.repeats // 3, 1), folder)


def _overhead(folder: Path, size: Size, ceilings: Ceilings) -> Iterator[Row]:
    yield from overhead.measure(folder, size.trials, FINISHED)


PARTS: dict[str, Callable[[Path, Size, Ceilings], Iterator[Row]]] = {
    "steps": _steps,
    "sets and precision": _sets,
    "readers": _readers,
    "quality": _quality,
    "preparation": _preparation,
    "overhead": _overhead,
}


def machine_name() -> str:
    """Cores, processor, its family and its widest instructions, as a file may be called.

    Clouds name CPUs of many years alike: an "AMD EPYC" is of family 25 with a half of the vectors of family 26.
    """
    name = f"{_cpu('model name')} family {_cpu('cpu family')} {torch.backends.cpu.get_cpu_capability()}"
    words = "".join(letter if letter.isalnum() else " " for letter in name.replace("(R)", "")).split()
    return f"{os.cpu_count()}-cores-{'-'.join(words).lower()}"


def _cpu(what: str) -> str:
    """What Linux says of the first core."""
    return next((text.split(":")[1].strip() for text in _cpu_lines() if text.startswith(what)), "unknown")


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def environment() -> dict[str, str]:
    """Hardware, load and versions."""
    return {
        "machine": machine_name(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "date": time.strftime("%Y-%m-%d"),
        **{name: version(name) for name in VERSIONS},
    }


def line(row: Row) -> str:
    """A row for a terminal."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x [{row.spread[0]:.2f}, {row.spread[1]:.2f}]"
    other = "" if row.baseline is None else f" against {row.baseline:.4g}"
    return f"{row.name:32} {row.ours:.4g}{other} {row.unit} {ratio} (asked: {row.target}) {row.note}"


def write(path: Path, parts: dict[str, dict]) -> None:
    """Both files."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"parts": parts}, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(path.stem, parts))


def markdown(machine: str, parts: dict[str, dict]) -> str:
    """A table per part, with where and when it was measured."""
    texts = [f"# {machine}\n\n`make bench` writes this page. Ratios are baseline / ours, the median over repeats.\n"]
    for name, part in parts.items():
        about = ", ".join(f"{key} {value}" for key, value in part["environment"].items())
        ceilings = part["ceilings"]
        head = (
            "| measured | ours | baseline | unit | ratio | least, most | repeats | asked | note |\n"
            + "|---" * 9
            + "|\n"
        )
        rows = "".join(_markdown_row(row) for row in part["rows"])
        reached = f"{ceilings['gflops']:.0f} GFLOP/s matrix product, {ceilings['copy_gbs']:.1f} GB/s copy"
        texts.append(f"\n## {name}\n\n{about}; ceilings: {reached}\n\n{head}{rows}")
    return "".join(texts)


def _markdown_row(row: dict) -> str:
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    other = "" if row["baseline"] is None else f"{row['baseline']:.4g}"
    cells = [
        row["name"],
        f"{row['ours']:.4g}",
        other,
        row["unit"],
        ratio,
        f"{row['spread'][0]:.3g}, {row['spread'][1]:.3g}",
    ]
    return "| " + " | ".join([*cells, str(row["repeats"]), row["target"], row["note"]]) + " |\n"


if __name__ == "__main__":
    main()
