"""Work done ahead keeps its order, is taken from its source only as far ahead as told, and fails as itself."""

import itertools

import pytest

from recscale.data.ahead import mapped_ahead


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_an_endless_source_is_read_only_so_far_ahead(ahead):
    taken = []

    def items():
        for number in itertools.count():
            taken.append(number)
            yield number

    results = mapped_ahead(lambda number: number**2, items(), ahead)
    for number in range(10):
        assert next(results) == number**2
        assert len(taken) == number + 1 + ahead
    results.close()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_call_raises_comes_out_in_its_turn(error):
    def fails_at_three(number):
        if number == 3:
            raise error
        return number

    results = mapped_ahead(fails_at_three, range(10), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(error):
        next(results)
