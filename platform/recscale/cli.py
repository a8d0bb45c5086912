"""The `recscale` command: prepare data; look at, compare, serve and mirror studies; reproduce tables, fit laws."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from recscale.curves.losses import Loss, LossKind, Space
from recscale.data.manifest import Manifest
from recscale.data.mirror import published
from recscale.data.options import Duplicates, PrepareOptions
from recscale.data.sources.avazu import AvazuSource, HourFields
from recscale.data.sources.criteo import CriteoSource
from recscale.data.sources.libsvm import LibsvmSource
from recscale.data.sources.movielens import MovielensSource
from recscale.data.sources.scan import Source
from recscale.data.sources.table import TableSource
from recscale.entry import run_command
from recscale.errors import ConfigError
from recscale.storage.filesystems import is_uri
from recscale.storage.location import location

Options = Annotated[PrepareOptions, OmitArgPrefixes]
CONFIG = (tyro.conf.EnumChoicesFromValues, tyro.conf.FlagCreatePairsOff)


def criteo(src: Positional[Path], dest: Positional[str], options: Options, drop_duplicates: bool = False) -> int:
    """Criteo's click logs: tab-separated label, 13 integers, 26 hashed categories.

    Args:
        src: File (.gz or not) or folder of files.
        dest: Folder of the dataset, s3:// or gs://; must not exist.
        drop_duplicates: Keep only the first of identical rows, before the split.
    """
    return _prepare(CriteoSource(src), dest, options, drop_duplicates)


def avazu(
    src: Positional[Path],
    dest: Positional[str],
    options: Options,
    hour_fields: HourFields = HourFields.CALENDAR,
    drop_duplicates: bool = False,
) -> int:
    """Avazu's click logs: the competition's train file, CSV with a header.

    Args:
        src: File (.gz or not) or folder of files.
        dest: Folder of the dataset, s3:// or gs://; must not exist.
        hour_fields: What becomes of the hour column.
        drop_duplicates: Keep only the first of identical rows, before the split.
    """
    return _prepare(AvazuSource(src, hour_fields), dest, options, drop_duplicates)


def movielens(
    src: Positional[Path],
    dest: Positional[str],
    options: Options,
    threshold: float = 4.0,
    drop_duplicates: bool = False,
) -> int:
    """MovieLens ratings of any release, as clicks.

    Args:
        src: Folder of the release, or its ratings file.
        dest: Folder of the dataset, s3:// or gs://; must not exist.
        threshold: Ratings of at least this are positive.
        drop_duplicates: Keep only the first of identical rows, before the split.
    """
    return _prepare(MovielensSource(src, threshold), dest, options, drop_duplicates)


def libsvm(
    paths: Positional[tuple[str, ...]],
    source: Annotated[LibsvmSource, OmitArgPrefixes],
    options: Options,
    drop_duplicates: bool = False,
) -> int:
    """Lines of libsvm (label id:value ...) or libfm, whole or in files per split.

    Args:
        paths: SRC DEST, or DEST alone with --train, --valid and --test.
        drop_duplicates: Keep only the first of identical rows, before the split.
    """
    return _prepare(*_source_and_dest(source, paths), options, drop_duplicates)


def table(
    paths: Positional[tuple[str, ...]],
    source: Annotated[TableSource, OmitArgPrefixes],
    options: Options,
    drop_duplicates: bool = False,
) -> int:
    """Any table with a label column: CSV, TSV, Parquet or Arrow.

    Args:
        paths: SRC DEST, or DEST alone with --train, --valid and --test.
        drop_duplicates: Keep only the first of identical rows, before the split.
    """
    return _prepare(*_source_and_dest(source, paths), options, drop_duplicates)


def synthetic(dest: Positional[str], rows: int = 200_000, seed: int = 0) -> int:
    """The embedded synthetic world, whose best possible AUC and log loss are known.

    Args:
        dest: Folder of the dataset, s3:// or gs://; must not exist.
        rows: Rows over all splits.
        seed: Seed of the world and its rows.
    """
    from recscale.data.synthetic import write_synthetic

    with published(dest) as folder:
        manifest = write_synthetic(folder, rows=rows, seed=seed)
    return _say(dest, manifest)


def inspect(dataset: Positional[str]) -> int:
    """Verify every checksum of a dataset, then describe it.

    Args:
        dataset: Folder or URI made by `recscale prepare`.
    """
    from recscale.data.inspection import describe
    from recscale.data.reader import Dataset

    opened = Dataset.open(dataset)
    opened.verify()
    print(describe(opened), end="")
    return 0


def status(study: Positional[str], storage: str = "runs") -> int:
    """Say what of a study is finished, failed or missing; the exit status is 1 where a trial failed.

    Args:
        study: Name of a study in the storage, or its folder or URI.
        storage: Folder, s3:// or gs:// that keeps the studies.
    """
    from recscale.study.status import study_status
    from recscale.study.study import find_study, read_study

    found = study_status(read_study(find_study(study, location(storage))))
    print(found.text)
    return 1 if found.failed else 0


def report(
    study: Positional[str],
    storage: str = "runs",
    privacy: bool = False,
    figures: str | None = None,
    format: Literal["svg", "pdf", "png"] = "svg",  # noqa: A002  the flag's name
) -> int:
    """Write a study's tables and report again from what the store holds now.

    Args:
        study: Name of a study in the storage, or its folder or URI.
        storage: Folder, s3:// or gs:// that keeps the studies.
        privacy: Attack every trial by membership inference, and add what came out.
        figures: Local folder for static pictures of every figure; drawn by an installed Chromium.
        format: Format of the pictures.
    """
    from dashboards.pages import study_page, write_page
    from dashboards.static import Format, write_pictures
    from recscale.study.results import write_results
    from recscale.study.study import find_study, read_study

    if figures is not None and is_uri(figures):
        raise ConfigError(f"--figures is {figures}, expected a local folder: Chromium writes the pictures itself")
    found = read_study(find_study(study, location(storage)))
    write_results(found)
    if privacy:
        from recscale.study.privacy import write_privacy  # imports torch, as few commands need

        write_privacy(found)
    print(write_page(found.spec.recipe, found.folder))
    if figures is not None:
        written = write_pictures(study_page(found.spec.recipe, found.folder).panels, Path(figures), Format(format))
        print(f"{len(written)} pictures in {figures}")
    return 0


def sync(study: Positional[str], storage: str = "runs") -> int:
    """Log to MLflow whatever of a study it does not have yet.

    Args:
        study: Name of a study in the storage, or its folder or URI.
        storage: Folder, s3:// or gs:// that keeps the studies.
    """
    from recscale.study.mirror import sync_study
    from recscale.study.study import find_study, read_study
    from recscale.study.tracking_place import tracking_note

    found = read_study(find_study(study, location(storage)))
    if note := tracking_note(location(found.storage)):
        print(note)
    problem = sync_study(found)
    if problem:
        raise ConfigError(f"MLflow did not take everything: {problem}; start its server or set MLFLOW_TRACKING_URI")
    return 0


def compare(studies: Positional[tuple[str, ...]], storage: str = "runs", out: str | None = None) -> int:
    """Write a page that shows two or more studies side by side, with the difference per shared cell.

    Args:
        studies: Names of studies in the storage, or their folders; the first is the reference.
        storage: Folder, s3:// or gs:// that keeps the studies.
        out: The page. None: compare-A-B.html in the storage.
    """
    from dashboards.compare import write_comparison
    from recscale.study.study import find_study

    place = location(storage)
    folders = [find_study(study, place) for study in studies]
    name = "-".join(["compare", *(folder.name for folder in folders)])
    print(write_comparison(folders, location(out) if out else place / f"{name}.html"))
    return 0


def index(storage: Positional[str] = "runs") -> int:
    """Write a page that lists all studies of a storage, newest first.

    Args:
        storage: Folder, s3:// or gs:// that keeps the studies.
    """
    from dashboards.index import write_index
    from recscale.study.catalog import write_catalog

    place = location(storage)
    write_catalog(place)
    print(write_index(place))
    return 0


def serve(storage: Positional[str] = "runs", port: int = 8787) -> int:
    """Serve the pages of a storage on 127.0.0.1, refreshed as trials finish, until Ctrl-C.

    Args:
        storage: Folder, s3:// or gs:// that keeps the studies.
        port: Port on 127.0.0.1; 0 takes a free one.
    """
    from dashboards.index import index_html, load_entries
    from dashboards.pages import write_page
    from recscale.serve.app import serve as serve_pages
    from recscale.serve.pages import Pages

    def shown(pages: Pages) -> str:
        pages.write_index_table()
        return index_html(pages.storage.name, load_entries(pages.storage), link="study/{name}/")

    serve_pages(Pages(location(storage), write_page), shown, port)
    return 0


def fit(
    table: Positional[Path],
    law: str,
    x: tuple[str, ...],
    y: str,
    json: Path | None = None,
    loss: LossKind = LossKind.GAUSSIAN,
    delta: float = 1e-3,
    log: bool = False,
    bootstrap: int = 1000,
    level: float = 0.9,
    seed: int = 0,
) -> int:
    """Fit a scaling law to the columns of any CSV table.

    Args:
        table: CSV file with a header.
        law: constant | log_linear | power_law | rising_power_law | power_law_with_penalty | broken_power_law |
            two_variable_power_law.
        x: Column of each of the law's variables, one or two.
        y: Column that the law is fitted to, for instance a loss.
        json: File for the parameters, intervals, objective and convergence.
        loss: How residuals count: gaussian (squares) or huber (outliers count little).
        delta: Where Huber's loss turns linear, in the residuals' unit.
        log: Take residuals of ln y, as fits of language models do, instead of y.
        bootstrap: Replicates for the intervals; 0 for none.
        level: Coverage of the intervals.
        seed: Seed of the bootstrap.
    """
    from recscale.curves.table import describe, fit_table
    from recscale.records import to_plain
    from recscale.study.files import write_json

    chosen = Loss(loss, delta, Space.LOG if log else Space.LINEAR)
    found = fit_table(table, law, x, y, chosen, replicates=bootstrap, level=level, seed=seed)
    if json is not None:
        write_json(json, to_plain(found))
    print(describe(found))
    return 0


def seeds_needed(
    study: Positional[str],
    effect: float,
    storage: str = "runs",
    metric: str = "test_auc",
    power: float = 0.8,
    alpha: float = 0.05,
) -> int:
    """Say how many seeds per arm an effect needs to be seen, by the noise between a study's own seeds.

    Args:
        study: Name of a study in the storage, or its folder or URI.
        effect: Difference of two arms to be seen, for instance 2e-4.
        storage: Folder, s3:// or gs:// that keeps the studies.
        metric: test_auc | test_log_loss | test_normalized_entropy.
        power: Probability of seeing it.
        alpha: Two-sided level of the test.
    """
    from recscale.study.seeds import plan_seeds
    from recscale.study.study import find_study, read_study

    print(plan_seeds(read_study(find_study(study, location(storage))), metric, effect, power=power, alpha=alpha))
    return 0


PREPARE: dict[str, Callable[..., int]] = {
    "criteo": criteo,
    "avazu": avazu,
    "movielens": movielens,
    "libsvm": libsvm,
    "table": table,
    "synthetic": synthetic,
}


def prepare(arguments: Annotated[tuple[str, ...], tyro.conf.Positional] = ()) -> int:
    """Turn raw click logs into a dataset: `recscale prepare FORMAT --help` for each format.

    Args:
        arguments: criteo | avazu | movielens | libsvm | table | synthetic, then that format's own.
    """
    return _run(PREPARE, "recscale prepare", list(arguments))


def reproduce(arguments: Annotated[tuple[str, ...], tyro.conf.Positional] = ()) -> int:
    """Train a published table and print ours beside theirs: `recscale reproduce table1 --help`.

    Args:
        arguments: table1, then its own.
    """
    from dashboards.pages import write_page
    from recscale.cluster.table1 import Table1Options, reproduce_table1

    def table1(options: Annotated[Table1Options, OmitArgPrefixes]) -> int:
        """Table 1 of Guo et al. 2024, with its protocol; ours is printed beside theirs and written to table1.csv."""
        return reproduce_table1(options, partial(write_page, "scaling"))

    return _run({"table1": table1}, "recscale reproduce", list(arguments))


COMMANDS: dict[str, Callable[..., int]] = {
    "prepare": prepare,
    "inspect": inspect,
    "status": status,
    "report": report,
    "compare": compare,
    "index": index,
    "serve": serve,
    "sync": sync,
    "reproduce": reproduce,
    "fit": fit,
    "seeds-needed": seeds_needed,
}
NESTED = {"prepare": prepare, "reproduce": reproduce}
"""Commands of commands."""


def _prepare(source: Source, dest: str, options: PrepareOptions, drop_duplicates: bool) -> int:
    from recscale.data.prepare import prepare as prepare_dataset

    chosen = replace(options, duplicates=Duplicates.DROP) if drop_duplicates else options
    with published(dest) as folder:
        manifest = prepare_dataset(source, folder, chosen)
    return _say(dest, manifest)


def _source_and_dest(source: Any, paths: tuple[str, ...]) -> tuple[Source, str]:
    if len(paths) == 2:
        return replace(source, src=Path(paths[0])), paths[1]
    if len(paths) == 1:
        return source, paths[0]
    raise ConfigError(f"got {len(paths)} paths, expected SRC DEST, or DEST alone with --train, --valid and --test")


def _say(dest: str, manifest: Manifest) -> int:
    rows = ", ".join(f"{split.name} {split.rows:,}" for split in manifest.splits)
    ids = sum(manifest.vocabulary_sizes)
    print(f"{dest}: {rows} rows, {len(manifest.fields)} fields, {ids:,} ids, {manifest.source.rejected_rows} rejected")
    return 0


def _run(commands: dict[str, Callable[..., int]], prog: str, arguments: list[str]) -> int:
    return tyro.extras.subcommand_cli_from_dict(commands, prog=prog, args=arguments, config=CONFIG)  # type: ignore[no-any-return]


def main() -> None:
    """The entry point: `prepare` and `reproduce` hand their arguments, flags included, to the command they name."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in NESTED and len(arguments) > 1 and arguments[1] not in ("-h", "--help"):
        run_command(lambda: NESTED[arguments[0]](tuple(arguments[1:])))
    run_command(lambda: _run(COMMANDS, "recscale", arguments))


if __name__ == "__main__":
    main()
