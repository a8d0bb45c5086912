"""Input files: one file or a folder of them, plain or .gz, checked byte by byte before anything is parsed."""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import cast

from recscale.errors import DataError

CHUNK_BYTES = 1 << 22


def input_files(src: Path) -> tuple[Path, ...]:
    """The file, or every file of the folder by name; names that start with . or _ are not data."""
    if src.is_dir():
        files = tuple(sorted(path for path in src.iterdir() if path.is_file() and path.name[0] not in "._"))
        if not files:
            raise DataError(f"{src} is a folder without files; expected data files, plain or .gz")
        return files
    if not src.is_file():
        raise DataError(f"{src} does not exist; expected a file or a folder of files")
    return (src,)


def checked_text_file(path: Path) -> Path:
    """The path, once all its bytes are known to be text; DataError where it is empty, binary, truncated or corrupt."""
    blank = True
    done = 0
    for chunk in _chunks(path):
        if b"\0" in chunk:
            where = done + chunk.index(b"\0")
            raise DataError(f"{path} is a binary file (a NUL at byte {where}); expected lines of text, plain or .gz")
        done += len(chunk)
        blank = blank and not chunk.strip()
    if blank:
        raise DataError(f"{path} is empty; expected lines of text")
    return path


def open_text(path: Path) -> BufferedReader:
    """The file's bytes, unpacked where it is .gz."""
    try:
        return cast(BufferedReader, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def first_line(path: Path) -> str:
    """The first line that is not blank, without its end."""
    with open_text(path) as file:
        line = next((line for line in file if line.strip()), b"")
    try:
        return line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, row 1 is not UTF-8 text ({error.reason}); expected UTF-8, plain or .gz") from error


def locate_lines(path: Path, texts: list[str]) -> dict[str, list[int]]:
    """Numbers (from 1) of the lines that read as each text, as many as it is asked for; none where no line does."""
    wanted = Counter(text.encode() for text in texts)
    found: dict[str, list[int]] = {}
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            bare = line.rstrip(b"\r\n")
            if wanted[bare] > 0:
                wanted[bare] -= 1
                found.setdefault(bare.decode(), []).append(number)
                if not wanted.total():
                    break
    return found


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with open_text(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except EOFError as error:
        raise DataError(f"{path} is a truncated .gz file; copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not a valid .gz file ({error}); copy or download it again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
