"""Coverage-guided search for files that a reader cannot take: `make fuzz READER=manifest.json SECONDS=60`.

atheris makes the variants here, led by which lines of recscale each one reaches. It ends with the first that raises
what a reader must not, and keeps that one in the current folder.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["recscale", "dashboards"]):
    from recscale.data.synthetic import write_synthetic
    from recscale.errors import RecscaleError
    from tests.fuzz.targets import dataset_targets


def main() -> None:
    """Arguments: the reader's name, then libFuzzer's own."""
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        write_synthetic(world, rows=600, seed=3)
        readers = {target.name: target for target in dataset_targets(world)}
        name, *options = sys.argv[1:]
        if name not in readers:
            sys.exit(f"got the reader {name!r}, expected one of: {', '.join(readers)}")
        target = readers[name]
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        (corpus / "valid").write_bytes(target.path.read_bytes())

        def read(content: bytes) -> None:
            target.path.write_bytes(content)
            try:
                target.read()
            except RecscaleError:
                return

        atheris.Setup([sys.argv[0], str(corpus), *options], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
