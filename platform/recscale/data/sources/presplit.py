"""Sources that come whole or as separate files per split."""

from pathlib import Path

from recscale.data.manifest import SPLIT_NAMES
from recscale.data.sources.files import input_files
from recscale.errors import ConfigError


def split_files(
    src: Path | None, train: Path | None, valid: Path | None, test: Path | None
) -> tuple[tuple[Path, str | None], ...]:
    """Every file with the split it belongs to, None where the source comes whole; ConfigError where both are given."""
    given = {name: path for name, path in zip(SPLIT_NAMES, (train, valid, test), strict=True) if path is not None}
    if src is not None and given:
        raise ConfigError(f"got a whole source {src} and files for {', '.join(given)}; expected one or the other")
    if src is not None:
        return tuple((file, None) for file in input_files(src))
    if len(given) != len(SPLIT_NAMES):
        missing = [name for name in SPLIT_NAMES if name not in given]
        raise ConfigError(
            f"no source and no file for {', '.join(missing)}; expected a source, or train, valid and test"
        )
    return tuple((file, split) for split, path in given.items() for file in input_files(path))
