"""SQL over single cells of a table: as text, as a number, as a label, as a split, and what is wrong with them."""

from recscale.data.sources.scan import name, text


def text_cell(column: str) -> str:
    """The value as text, missing as ''."""
    return f"coalesce(CAST({name(column)} AS VARCHAR), '')"


def number_cell(column: str) -> str:
    """The value as a double; NULL where it is missing or no number."""
    return f"TRY_CAST({name(column)} AS DOUBLE)"


def label_cell(column: str, positive: str | None) -> str:
    """0 or 1: whether it is the positive value, or the number itself; NULL where it is neither."""
    if positive is not None:
        return f"CAST({text_cell(column)} = {text(positive)} AS UTINYINT)"
    return f"TRY_CAST(TRY_CAST({text_cell(column)} AS DOUBLE) AS UTINYINT)"


def label_problem(column: str, positive: str | None) -> str:
    """CASE branch for a label that is empty, or neither 0 nor 1 where there is no positive value."""
    if positive is not None:
        return _branch(f"{text_cell(column)} = ''", f"label {column!r}", column, f"{positive!r} or another label")
    wrong = f"coalesce(TRY_CAST({text_cell(column)} AS DOUBLE) NOT IN (0, 1), true)"
    return _branch(wrong, f"label {column!r}", column, "0 or 1, or the positive label by --positive")


def number_problem(column: str) -> str:
    """CASE branch for a value of a numeric column that is no finite number."""
    wrong = f"{text_cell(column)} <> '' AND coalesce(isinf({number_cell(column)}), true)"
    return _branch(wrong, f"column {column!r}", column, "a finite number or nothing")


def split_cell(column: str, valid_from: str, test_from: str) -> str:
    """0 below `valid_from`, 1 below `test_from`, else 2; as numbers where both bounds are, else as text."""
    if are_numbers(valid_from, test_from):
        value, low, high = number_cell(column), repr(float(valid_from)), repr(float(test_from))
    else:
        value, low, high = text_cell(column), text(valid_from), text(test_from)
    return f"CASE WHEN {value} < {low} THEN 0 WHEN {value} < {high} THEN 1 ELSE 2 END"


def split_problem(column: str, valid_from: str, test_from: str) -> str:
    """CASE branch for a split value that is empty or cannot be compared with the bounds."""
    if are_numbers(valid_from, test_from):
        return _branch(
            f"{number_cell(column)} IS NULL", f"split column {column!r}", column, "a number as the bounds are"
        )
    return _branch(
        f"{text_cell(column)} = ''", f"split column {column!r}", column, "a value to compare with the bounds"
    )


def are_numbers(*values: str) -> bool:
    """Whether all the texts are numbers."""
    try:
        return all(float(value) == float(value) for value in values)
    except ValueError:
        return False


def _branch(condition: str, what: str, column: str, expected: str) -> str:
    got, wanted = text(f"{what} is '"), text(f"', expected {expected}")
    return f"WHEN {condition} THEN concat({got}, {text_cell(column)}, {wanted})"
