"""Tables: every dialect gives the same numbers, and each fault is named with its place."""

import csv
import gzip
import io
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.errors import ConfigError
from gflow.readers.tables import read_table, refuse_counters

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
words = st.text(
    st.characters(categories=["L", "N"]) | st.sampled_from("_/ ,;"), min_size=1, max_size=6
).map(str.strip)
names_of_columns = st.lists(
    words.filter(lambda w: w and not w[0].isdigit() and w.lower() not in ("nan", "inf", "na")),
    min_size=2,
    max_size=4,
    unique=True,
)


def is_word(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() not in ("null", "none", "infinity", "n/a", "")
    return False


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[float]]]:
    names = draw(names_of_columns.filter(lambda found: all(map(is_word, found))))
    row = st.lists(finite, min_size=len(names), max_size=len(names))
    return names, draw(st.lists(row, min_size=1, max_size=5))


@pytest.mark.slow
@given(
    table=tables(),
    separator=st.sampled_from(",;\t "),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    ending=st.sampled_from(["\n", "\r\n"]),
    index=st.sampled_from(["none", "pandas", "from 1", "words", "as R writes it"]),
    trimmings=st.sets(st.sampled_from(["gz", "mark", "empty lines", "comment", "open end"])),
)
def test_numbers_come_back_in_every_dialect(
    table: tuple[list[str], list[list[float]]],
    separator: str,
    quoting: Literal[0, 1, 2, 3],
    ending: str,
    index: str,
    trimmings: set[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    names, values = table
    rows: list[list[object]] = [[*names]]
    rows += [[*row] for row in values]
    if index != "none":
        first = {"pandas": 0, "from 1": 1}.get(index)
        marks = [f"case {i}" if first is None else i + first for i in range(len(values))]
        for row, mark in zip(rows[1:], marks, strict=True):
            row.insert(0, mark)
        if index != "as R writes it":
            rows[0].insert(0, "")
    if "open end" in trimmings and separator != " ":
        rows = [[*row, ""] for row in rows]
    if "empty lines" in trimmings:
        rows = [row for pair in rows for row in (pair, [])]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=ending)
    writer.writerows(rows)
    data = text.getvalue()
    if "comment" in trimmings:
        data = f"# written by hand{ending}" + data
    raw = data.encode("utf-8-sig" if "mark" in trimmings else "utf-8")
    file = tmp_path_factory.mktemp("table") / "obs.csv"
    file.write_bytes(gzip.compress(raw) if "gz" in trimmings else raw)
    found = read_table(file, separator=separator)
    assert found.names == tuple(names)
    assert torch.equal(found.numbers(), torch.tensor(values, dtype=torch.float64))
    assert torch.equal(found.numbers(names[::-1]), found.numbers().flip(1))


@given(table=tables(), separator=st.sampled_from(",;\t "), header=st.booleans())
def test_separators_are_found(
    table: tuple[list[str], list[list[float]]],
    separator: str,
    header: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """With plain names, as nearly all tables have them; numbers never hold a separator."""
    _, values = table
    names = ["raf", "mek", "erk", "p44/42"][: len(values[0])]
    lines = [separator.join(names)] * header + [separator.join(map(repr, row)) for row in values]
    file = tmp_path_factory.mktemp("table") / "obs.txt"
    file.write_text("\n".join(lines))
    found = read_table(file)
    assert found.names == tuple(names if header else [f"x{i}" for i in range(len(names))])
    assert found.header == header
    assert torch.equal(found.numbers(), torch.tensor(values, dtype=torch.float64))


READ = {  # text: names, rows of numbers
    "no header": ("2,1\n3,4.5\n", ("x0", "x1"), [[2, 1], [3, 4.5]]),
    "what numpy writes": ("# a b\n1e0 2e0\n3e0 4e0\n", ("a", "b"), [[1, 2], [3, 4]]),
    "a comment with a quote": ('# so "called\na,b\n1,2\n', ("a", "b"), [[1, 2]]),
    "a comment of two words": ("# by hand\nraf mek\n1 2\n", ("raf", "mek"), [[1, 2]]),
    "comments": ("# by hand\n# twice\na,b\n1,2\n", ("a", "b"), [[1, 2]]),
    "aligned by blanks": (
        "raf   mek\n 1.0   -2\n  .5  3e1\n",
        ("raf", "mek"),
        [[1, -2], [0.5, 30]],
    ),
    "names with separators": ('"a;b","c d"\n1,2\n', ("a;b", "c d"), [[1, 2]]),
    "a name over two lines": ('"a\nb",c\n1,2\n', ("a\nb", "c"), [[1, 2]]),
    "one column": ("a\n1\n2\n", ("a",), [[1], [2]]),
    "empty cells at the end": ("a,b,\n1,2,\n,,\n", ("a", "b"), [[1, 2]]),
    "row names, no corner": ('"raf","mek"\n"1",1,2\n"2",3,4\n', ("raf", "mek"), [[1, 2], [3, 4]]),
    "twice exported": ("Unnamed: 0,a,b\n0,1,2\n1,3,4\n", ("a", "b"), [[1, 2], [3, 4]]),
    "bars": ("a|b\n1|2\n", ("a", "b"), [[1, 2]]),
    "Excel says it": ("sep=;\na;b\n1;2\n", ("a", "b"), [[1, 2]]),
    "Excel says commas": ("sep=,\na;b,c\n1,2\n", ("a;b", "c"), [[1, 2]]),
    "a semicolon wins": ("a;b\n1;2\n", ("a", "b"), [[1, 2]]),
}


@pytest.mark.parametrize("case", READ)
def test_tables_that_are_read(case: str, tmp_path: Path) -> None:
    text, names, rows = READ[case]
    file = tmp_path / "obs.csv"
    file.write_text(text)
    found = read_table(file)
    assert found.names == names
    torch.testing.assert_close(found.numbers(), torch.tensor(rows).double())


REFUSED = {
    "empty": ("", "is empty"),
    "only blanks": ("\n  \n", "is empty"),
    "only a header": ("a,b\n", "has a header and no rows below it"),
    "too few cells": (
        "a,b\n1,2\n3\n",
        r"line 3: this row has 1 cells and line 1 has 2, separated by",
    ),
    "too many cells": ("a,b\n1,2\n3,4,5\n", "line 3: this row has 3 cells and line 1 has 2"),
    "a word": ("a,b\n1,2\n3,x\n", r"line 3, column 'b': 'x' is no number\.$"),
    "a missing value": ("a,b\n1,2\n\n3,NaN\n", r"line 4, column 'b': the value is missing \(NaN\)"),
    "an empty value": ("a,b\n1,2\n,3\n", "line 3, column 'a': the value is missing. Leave out"),
    "NA": ("a,b\nNA,2\n3,4\n", r"line 2, column 'a': the value is missing \(NA\)"),
    "infinite": ("a,b\n1,-inf\n", "line 2, column 'b': -inf is not finite"),
    "too large": ("a,b\n1,1e999\n", "line 2, column 'b': 1e999 is too large a number"),
    "decimal commas": ("a;b\n1,5;2,5\n", "line 2, column 'a': '1,5' is no number; if the comma is"),
    "underscores": ("a,b\n1_000,2\n", "line 2, column 'a': '1_000' is no number"),
    "repeated names": ("a,b,a\n1,2,3\n", "line 1: columns 1 and 3 are both called 'a'. Give each"),
    "a nameless variable": (
        "a,,b\n1,2.5,3\n4,5,6\n",
        "column 2 has no name; it begins with 2.5, 5",
    ),
    "nameless numbers": (",a\n7,1\n3,2\n", "column 1 has no name; it begins with 7, 3"),
    "words and numbers": ("a,1\n2,3\n", "line 1: the words a and the numbers 1 stand side by side"),
    "numbers of columns": ("0,1,2\n5,6,7\n", "0, 1, 2, ... may be numbers of columns or a row of"),
    "numbered from 1": ("1,2\n5,6\n", "1, 2, ... may be numbers of columns or a row of data"),
    "an open quote": ('a,b\n1,"2\n3,4\n', "line 2: unexpected end of data. Look for a quotation"),
    "a quote within": ('a,b\n1,"2"3\n', "line 2: .*Look for a quotation mark"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_faults_are_named_with_their_place(case: str, tmp_path: Path) -> None:
    text, message = REFUSED[case]
    file = tmp_path / "obs.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"obs\.csv.*{message}"):
        read_table(file).numbers()


def test_the_caller_may_know_about_header_and_separator(tmp_path: Path) -> None:
    file = tmp_path / "obs.csv"
    file.write_text("0,1\n5,6\n")
    assert read_table(file, header=True).names == ("0", "1")
    assert read_table(file, header=False).numbers().tolist() == [[0, 1], [5, 6]]
    file.write_text("a,b:c\n1,2:3\n")
    assert read_table(file, separator=":").names == ("a,b", "c")
    with pytest.raises(ConfigError, match="separator must be one character, got ''"):
        read_table(file, separator="")


def test_columns_are_asked_for_by_name(tmp_path: Path) -> None:
    file = tmp_path / "obs.csv"
    file.write_text("raf,mek\n1,x\n")
    table = read_table(file)
    assert table.column("mek") == ["x"]
    with pytest.raises(ConfigError, match="has no column 'mex'. Did you mean 'mek'"):
        table.numbers(["mex"])


def test_counters_are_no_variables(tmp_path: Path) -> None:
    file = tmp_path / "obs.csv"
    file.write_text("ID,a\n1,3\n2,5\n3,4\n")
    with pytest.raises(ConfigError, match="the column 'ID' counts the rows, so it is no variable"):
        refuse_counters(read_table(file), "variable")
    file.write_text("ID,a\n1,3\n2,5\n2,4\n")
    refuse_counters(read_table(file), "variable")
