import datetime
from itertools import chain

import pytest

from recscale.data.sources.avazu import HEADER, AvazuSource, HourFields
from recscale.errors import DataError


def rows(count):
    return [
        [
            str(n),
            str((n % 4 == 0 and 1) or 0),
            f"1410{21 + n % 5}{n % 24:02d}",
            *(f"{column}{n % 3}" for column in HEADER[3:]),
        ]
        for n in range(count)
    ]


def csv(lines):
    return "\n".join(",".join(line) for line in lines) + "\n"


def test_hours_become_calendar_fields(write, prepared):
    table = rows(50)
    manifest, got = prepared(AvazuSource(write("train.gz", csv([HEADER, *table]))))
    expected = []
    for row in table:
        day = datetime.datetime.strptime(row[2], "%y%m%d%H")
        calendar = (row[2][-2:], str(day.isoweekday()), str(int(day.isoweekday() >= 6)))
        expected.append((row[1], *calendar, *row[3:]))
    assert sorted(chain.from_iterable(got.values())) == sorted(expected)
    assert [field.name for field in manifest.fields][:4] == ["hour", "weekday", "is_weekend", "C1"]
    assert len(manifest.fields) == 24


def test_raw_hours_give_the_papers_22_fields(write, prepared):
    table = rows(50)
    manifest, got = prepared(AvazuSource(write("train", csv([HEADER, *table])), HourFields.RAW))
    assert len(manifest.fields) == 22
    assert sorted(chain.from_iterable(got.values())) == sorted((row[1], *row[2:]) for row in table)


def test_a_header_without_a_column_is_named(write, prepared):
    path = write("train", csv([[column for column in HEADER if column != "app_id"], *rows(3)]))
    with pytest.raises(
        DataError, match=r"train, row 1: the header lacks the columns \['app_id'\]; expected Avazu's 24"
    ):
        prepared(AvazuSource(path))


def test_an_hour_that_is_none_is_reported_with_its_line(write, prepared):
    table = rows(50)
    table[6][2] = "14109999"
    with pytest.raises(DataError, match=r"train, row 8: column 'hour' is '14109999', expected YYMMDDHH"):
        prepared(AvazuSource(write("train", csv([HEADER, *table]))))
