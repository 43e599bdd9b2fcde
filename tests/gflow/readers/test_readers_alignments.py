"""Alignments: every format gives the same sequences, and each fault is named with its place."""

import gzip
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gflow.errors import ConfigError
from gflow.readers.alignments import read_alignment

Rows = dict[str, str]
Writer = Callable[[Rows, int], str]


def fasta(rows: Rows, width: int) -> str:
    parts = [f">{name} from somewhere\n" + "\n".join(cut(row, width)) for name, row in rows.items()]
    return "; a comment\n" + "\n\n".join(parts)


def cut(row: str, width: int) -> list[str]:
    return textwrap.wrap(row, width, break_on_hyphens=False)


def tens(row: str) -> str:
    return " ".join(cut(row, 10))


def phylip(rows: Rows, width: int, name: str, interleaved: bool) -> str:
    sites = len(next(iter(rows.values())))
    blocks = [cut(row, width) for row in rows.values()]
    heads = [f"{x:10}" if name == "strict" else f"{x}  " for x in rows]
    lines = [f" {len(rows)} {sites}"]
    if interleaved:
        for i in range(len(blocks[0])):
            lines += [(heads[r] if i == 0 else "") + tens(b[i]) for r, b in enumerate(blocks)]
            lines.append("")
    else:
        for head, block in zip(heads, blocks, strict=True):
            lines += [head + tens(block[0]), *map(tens, block[1:])]
    return "\n".join(lines)


def nexus(rows: Rows, width: int, interleaved: bool, match: bool = False) -> str:
    first = next(iter(rows.values()))
    signs = {"-": "_", "?": "*"}
    shown = {}
    for place, (name, row) in enumerate(rows.items()):
        letters = [signs.get(x, x) for x in row]
        if match and place:
            letters = ["." if a == b else x for a, b, x in zip(row, first, letters, strict=True)]
        shown["'" + name.replace("'", "''") + "'"] = "".join(letters)
    lines = [
        "#nexus [a [nested] comment; with a semicolon]",
        "Begin DATA;",
        f"  Dimensions NTax={len(rows)} nchar = {len(first)};",
        "  Format datatype=DNA gap=_ missing=*"
        + " matchchar=." * match
        + " interleave" * interleaved
        + ";",
        "  Matrix [rows]",
    ]
    blocks = {name: cut(row, width) for name, row in shown.items()}
    if interleaved:
        for i in range(len(cut(first, width))):
            lines += [f"{name} {tens(block[i])} [{i}]" for name, block in blocks.items()] + [""]
    else:
        for name, block in blocks.items():
            lines += [f"{name} {tens(block[0])}", *map(tens, block[1:])]
    return "\n".join([*lines, ";", "end;", "begin trees; tree a = (1,2); end;"])


WRITERS: dict[str, Writer] = {
    "fasta": fasta,
    "json": lambda rows, width: json.dumps(rows),
    "nexus": lambda rows, width: nexus(rows, width, False),
    "nexus interleaved": lambda rows, width: nexus(rows, width, True),
    "nexus with matches": lambda rows, width: nexus(rows, width, True, match=True),
    "phylip": lambda rows, width: phylip(rows, width, "relaxed", False),
    "phylip interleaved": lambda rows, width: phylip(rows, width, "relaxed", True),
    "phylip strict": lambda rows, width: phylip(rows, width, "strict", False),
    "phylip strict interleaved": lambda rows, width: phylip(rows, width, "strict", True),
}


@st.composite
def alignments(draw: st.DrawFn) -> Rows:
    sites, count = draw(st.integers(1, 50)), draw(st.integers(1, 4))
    row = st.text("ACGTacgtRN-?", min_size=sites, max_size=sites)
    return {f"taxon_{i}": draw(row) for i in range(count)}


@given(
    rows=alignments(),
    kind=st.sampled_from(sorted(WRITERS)),
    width=st.integers(1, 60),
    ending=st.sampled_from(["\n", "\r\n"]),
    packed=st.booleans(),
)
def test_sequences_come_back_in_every_format(
    rows: Rows,
    kind: str,
    width: int,
    ending: str,
    packed: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    raw = WRITERS[kind](rows, width).replace("\n", ending).encode("utf-8-sig")
    file = tmp_path_factory.mktemp("alignment") / "file"
    file.write_bytes(gzip.compress(raw) if packed else raw)
    found = read_alignment(file)
    assert list(found) == list(rows)
    assert found == rows


READ = {
    "blocks of phylip": (
        "3 5\ntaxa AC\ntaxb AG\ntaxc AT\n\nGT A\nG TC\nTTT\n",
        {"taxa": "ACGTA", "taxb": "AGGTC", "taxc": "ATTTT"},
    ),
    "dots of phylip": ("2 4\na ACGT\nb ..C.\n", {"a": "ACGT", "b": "ACCT"}),
    "dots of fasta stay": (">a\nACGT\n>b\n..C.\n", {"a": "ACGT", "b": "..C."}),
    "ten columns without a blank": ("1 4\nHomo sapieACGT\n", {"Homo sapie": "ACGT"}),
    "quoted names": (
        "#NEXUS\nbegin characters; dimensions nchar=2; format datatype=dna; matrix\n"
        "'it''s one' AC\nother GT; end;",
        {"it's one": "AC", "other": "GT"},
    ),
}


@pytest.mark.parametrize("case", READ)
def test_alignments_that_are_read(case: str, tmp_path: Path) -> None:
    text, rows = READ[case]
    file = tmp_path / "file"
    file.write_text(text)
    assert read_alignment(file) == rows


DATA = """#NEXUS
begin data;
dimensions ntax=2 nchar=4;
format datatype=dna{more};
matrix
{rows};
end;
"""


def data(rows: str, more: str = "") -> str:
    return DATA.format(rows=rows, more=more)


REFUSED = {
    "empty": (" \n", "file is empty"),
    "another format": ("\nCLUSTAL W\n", "line 2: 'CLUSTAL W.*begins no alignment; known are FASTA"),
    "fasta, a name twice": (
        ">a\nAC\n>b\nAG\n>a x\nAC\n",
        "called 'a' .line 1 and line 5..",
    ),
    "fasta without name": (">a\nAC\n>\nAG\n", "line 3: a sequence has no name"),
    "fasta, letters first": (";c\nAC\n>a\nAC\n", "line 2: letters before the first name"),
    "json, broken": ('{"a": "AC"', "is not JSON: Expecting"),
    "json, a name twice": ('{"a": "AC", "a": "AG"}', "called 'a' .entry 1 and entry 2"),
    "json, a list": ('[["a", "AC"]]', "another kind of JSON"),
    "phylip, a name twice": ("2 2\na AC\na AG\n", "called 'a' .line 2 and line 3"),
    "phylip, too few lines": ("3 2\na AC\nb AG\n", "line 1: 3 sequences are announced and 2 lines"),
    "phylip, too short": (
        "2 4\na ACGT\nb ACG\n",
        "2 sequences of 4 letters in line 1, .*'b' .line 3. has 3 letters",
    ),
    "phylip, too long": ("2 2\na AC\nb ACG\n", "'b' .line 3. has 3 letters one after the other"),
    "phylip, more lines": ("2 2\na AC\nb AG\nc AT\n", "line 4 is left over one after the other"),
    "phylip, two readings": (
        "3 5\na AC\nb AG\nc AT\n\nGT A\nG TC\nTTT\n",
        "2 readings: names up to a blank, one after the other; or names up to a blank, in blocks",
    ),
    "phylip, no sequence": ("1 4\nACGTACGTACGT\n", "announces 1 sequences of 4 letters"),
    "nexus, no matrix": ("#NEXUS\nbegin trees; end;", "needs one DATA or CHARACTERS block"),
    "nexus, proteins": (data("a ACGT\nb ACGT").replace("=dna", "=protein"), "datatype is protein"),
    "nexus, too short": (data("a ACGT\nb AC"), "line 7: 'b' has 2 letters, NCHAR=4. Correct it"),
    "nexus, interleaved unsaid": (data("a AC\nb AC\na GT\nb GT"), "'a' has 5 letters, NCHAR=4"),
    "nexus, a taxon missing": (data("a ACGT"), "NTAX=2, and the matrix has 1 sequences"),
    "nexus, a name twice": (data("a ACGT\na ACGT"), "called 'a' .line 6 and line 7"),
    "nexus, out of order": (
        data("a AC\nb AC\n\nb GT\na GT", " interleave"),
        "line 9: 'b' is repeated, or out of order",
    ),
    "nexus, sets": (data("a A{CG}T\nb ACGT"), "line 6: 'a' has a set of letters in brackets"),
    "nexus, equate": (data("a ACGT\nb ACGT", " equate='x=A'"), "EQUATE in FORMAT is not read"),
    "nexus, dots first": (
        data("a A.GT\nb ACGT", " matchchar=."),
        "line 6: '.' stands for the letter of the first sequence, which has none at column 2",
    ),
    "nexus, open comment": (data("a ACGT [x\nb ACGT"), "a comment is not closed"),
    "nexus, no semicolon": ("#NEXUS\nbegin data", "line 1: a command does not end with a semicol"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_faults_are_named_with_their_place(case: str, tmp_path: Path) -> None:
    text, message = REFUSED[case]
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_alignment(file)
