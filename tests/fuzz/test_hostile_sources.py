"""Hostile click logs: a raw file is prepared or refused in one line; nothing outside the destination is written."""

from pathlib import Path
from random import Random

import pytest

from recscale.data.options import PrepareOptions
from recscale.data.prepare import Source, prepare
from recscale.data.reader import Dataset
from recscale.data.sources.criteo import CriteoSource
from recscale.data.sources.libsvm import LibsvmSource
from recscale.data.sources.table import TableSource
from recscale.errors import RecscaleError
from tests.fuzz.mutations import bytes_variant

ROWS = 40
CELLS = (b"", b'"', b"'); DROP TABLE t; --", b"../../x", b"\x00", b"\xff\xfe", b"1e999", b"-0", b"x" * 5000, b'"\n"')


def _criteo(row: int) -> bytes:
    return b"\t".join([b"%d" % (row % 2), *(b"%d" % (row % 5) for _ in range(13)), *([b"a%d" % (row % 3)] * 26)])


def _table(row: int) -> bytes:
    return b"%d,u%d,i%d" % (row % 2, row % 7, row % 5) if row else b"label,user,item"


def _libsvm(row: int) -> bytes:
    return b"%d %d:1 %d:1" % (row % 2, row % 7, 7 + row % 5)


SOURCES = {
    "criteo": (CriteoSource, _criteo, b"\t", 15),
    "table": (TableSource, _table, b",", 30),
    "libsvm": (LibsvmSource, _libsvm, b" ", 30),
}

pytestmark = pytest.mark.slow


def _hostile(random: Random, content: bytes, delimiter: bytes) -> bytes:
    """Bytes changed anywhere, or cells, header included, replaced by what a parser or SQL may act on."""
    if random.random() < 0.5:
        return bytes_variant(random, [content])
    cells = [line.split(delimiter) for line in content.split(b"\n")]
    for _ in range(random.randint(1, 4)):
        line = random.choice(cells)
        line[random.randrange(len(line))] = random.choice(CELLS)
    return b"\n".join(delimiter.join(line) for line in cells)


def _refusal(source: Source, dest: Path) -> str:
    """Why the source is refused; empty where it is prepared, and then what was written is whole."""
    try:
        prepare(source, dest, PrepareOptions(min_count=1, max_bad_rows=0.2))
    except RecscaleError as error:
        return str(error)
    Dataset.open(dest).verify()
    return ""


@pytest.mark.parametrize("name", list(SOURCES))
def test_a_hostile_log_is_prepared_or_refused(name: str, tmp_path: Path) -> None:
    kind, line, delimiter, variants = SOURCES[name]
    content = b"\n".join(map(line, range(ROWS))) + b"\n"
    log, out = tmp_path / "log.csv", tmp_path / "out"
    out.mkdir()
    endings = set()
    for number in range(variants):
        log.write_bytes(_hostile(Random(f"{name} {number}"), content, delimiter))
        refusal = _refusal(kind(log), out / str(number))
        endings.add(bool(refusal))
        assert not refusal or (len(refusal.splitlines()) == 1 and not (out / str(number)).exists()), number
        assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "out"}
        assert all(path.name.isdecimal() for path in out.iterdir()), number
    assert endings == {True, False}
