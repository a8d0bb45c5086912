from itertools import chain

import duckdb
import pytest

from recscale.data import prepare
from recscale.data.options import PrepareOptions
from recscale.data.sources.movielens import HEADER, MovielensSource
from recscale.errors import DataError

RATINGS = [(str(n % 7), str(n % 5), n % 10 / 2 + 0.5, 1000 + n) for n in range(60)]
GENRES = {"0": "Action|Comedy", "1": "Drama", "2": "(no genres listed)", "3": "Drama|War"}


def expected(threshold, genres):
    for user, movie, rating, _ in RATINGS:
        label = str(int(rating >= threshold))
        whole = GENRES.get(movie, "")
        yield (label, user, movie, whole.split("|")[0], whole) if genres else (label, user, movie)


def test_a_csv_folder_with_movies(write, prepared):
    lines = "".join(f"{user},{movie},{rating},{time}\n" for user, movie, rating, time in RATINGS)
    folder = write("ml/ratings.csv", f"{HEADER}\n{lines}").parent
    write("ml/movies.csv", "movieId,title,genres\n" + "".join(f'{k},"A, title",{v}\n' for k, v in GENRES.items()))
    write("ml/README.txt", "not data")
    manifest, got = prepared(MovielensSource(folder))
    assert [field.name for field in manifest.fields] == ["user", "movie", "first_genre", "genres"]
    assert sorted(chain.from_iterable(got.values())) == sorted(expected(4.0, genres=True))


def test_a_dat_folder_with_movies_in_latin_1(write, prepared):
    lines = "".join(f"{user}::{movie}::{rating}::{time}\n" for user, movie, rating, time in RATINGS)
    folder = write("ml/ratings.dat", lines).parent
    (folder / "movies.dat").write_bytes(
        "".join(f"{k}::Caf\xe9 (1999)::{v}\n" for k, v in GENRES.items()).encode("latin-1")
    )
    _, got = prepared(MovielensSource(folder, threshold=3.0))
    assert sorted(chain.from_iterable(got.values())) == sorted(expected(3.0, genres=True))


def test_a_u_data_file_alone(write, prepared):
    lines = "".join(f"{user}\t{movie}\t{rating}\t{time}\n" for user, movie, rating, time in RATINGS)
    manifest, got = prepared(MovielensSource(write("u.data", lines)))
    assert sorted(chain.from_iterable(got.values())) == sorted(expected(4.0, genres=False))
    assert manifest.source.files == ("u.data",)


@pytest.mark.parametrize(
    ("rating", "message"),
    [("x", r"u.data, row 9: column 'rating' is 'x', expected a number"), ("", r"u.data, row 9: .*rating is empty")],
)
def test_a_rating_that_is_none_is_reported_with_its_line(write, prepared, rating, message):
    lines = [f"{user}\t{movie}\t{value}\t{time}\n" for user, movie, value, time in RATINGS]
    lines[8] = f"1\t1\t{rating}\t5\n"
    with pytest.raises(DataError, match=message):
        prepared(MovielensSource(write("u.data", "".join(lines))))


def test_a_folder_without_ratings_is_refused(write, prepared):
    folder = write("ml/movies.csv", "movieId,title,genres\n").parent
    with pytest.raises(DataError, match=r"ml holds no MovieLens ratings; expected one of ratings.csv"):
        prepared(MovielensSource(folder))


def test_a_file_of_another_layout_is_refused(write, prepared):
    with pytest.raises(DataError, match=r"other.csv, row 1: got 'a,b,c', expected the header userId"):
        prepared(MovielensSource(write("other.csv", "a,b,c\n1,2,3\n")))


def _connect(connect, threads, config):
    return connect(config={**config, "threads": threads})


def test_movies_joined_by_several_threads_keep_the_order_of_rows(write, tmp_path, monkeypatch):
    lines = "".join(f"{n % 5003},{n % 977},{n % 10 / 2},{n}\n" for n in range(400_000))
    folder = write("ml/ratings.csv", f"{HEADER}\n{lines}").parent
    write("ml/movies.csv", "movieId,title,genres\n" + "".join(f"{n},t,g{n % 7}|x\n" for n in range(900)))
    connect = duckdb.connect
    fingerprints = set()
    for threads in (1, 4):
        monkeypatch.setattr(
            prepare.duckdb, "connect", lambda config, n=threads: connect(config={**config, "threads": n})
        )
        made = prepare.prepare(MovielensSource(folder), tmp_path / f"by_{threads}", PrepareOptions())
        fingerprints.add(made.fingerprint)
    assert len(fingerprints) == 1
