"""The matrix of a NEXUS file, sequential or interleaved, with its signs for gaps and matches."""

import re
from collections.abc import Iterator

from gflow.errors import ConfigError
from gflow.readers.phylip import write_out

Found = list[tuple[str, str, str]]

NUCLEOTIDE_TYPES = frozenset({"dna", "rna", "nucleotide"})


def parse_nexus(path: str, text: str) -> Found:
    """(name, sequence, place) of the one matrix of a DATA or CHARACTERS block.

    Signs that FORMAT declares for gaps, missing letters and matches with the first sequence become
    ``-``, ``?`` and that letter.

    Raises:
        ConfigError: If there is no such matrix or several, if it holds no nucleotides, or does not
            agree with DIMENSIONS.

    Reference:
        Maddison et al., NEXUS: an extensible file format for systematic information, Systematic
        Biology 46(4), 1997
    """
    block, ntax, nchar, options = "", 0, 0, {}
    matrices: list[tuple[int, str]] = []
    for line, command in _commands(path, text):
        word = command.split(maxsplit=1)[0].lower() if command else ""
        rest = command[len(word) :]
        if word == "begin":
            block = rest.strip().lower()
        elif word == "dimensions":
            ntax = _size(rest, "ntax") or ntax
            nchar = _size(rest, "nchar") or nchar
        elif block in ("data", "characters") and word == "format":
            options = _options(rest)
        elif block in ("data", "characters") and word == "matrix":
            matrices.append((line, rest))
    if len(matrices) != 1 or not nchar:
        raise ConfigError(
            f"{path}: a NEXUS file needs one DATA or CHARACTERS block with DIMENSIONS NCHAR=... "
            f"and one MATRIX; it has {len(matrices)}."
        )
    kind = options.get("datatype", "dna").lower()
    if kind not in NUCLEOTIDE_TYPES:
        raise ConfigError(f"{path}: the datatype is {kind}; DNA, RNA or nucleotides are needed.")
    for unknown in ("equate", "transpose", "nolabels", "tokens"):
        if unknown in options:
            raise ConfigError(f"{path}: {unknown.upper()} in FORMAT is not read. Save it as FASTA.")
    interleaved = options.get("interleave", "no").lower() == "yes"
    found = (_interleaved if interleaved else _sequential)(path, *matrices[0], nchar)
    if ntax and len(found) != ntax:
        raise ConfigError(f"{path}: NTAX={ntax}, and the matrix has {len(found)} sequences.")
    signs = {options.get("gap", "-"): "-", options.get("missing", "?"): "?"}
    match = options.get("matchchar", "")
    out: Found = []
    for name, letters, place in found:
        bracket = re.search(r"[{}()]", letters)
        if bracket:
            raise ConfigError(
                f"{path}{place}: {name!r} has a set of letters in brackets. Write its IUPAC "
                f"letter, such as R for A or G."
            )
        whole = write_out(letters, found[0][1], match, f"{path}{place}")
        if len(whole) != nchar:
            raise ConfigError(
                f"{path}{place}: {name!r} has {len(whole)} letters, NCHAR={nchar}. Correct it, or "
                f"say INTERLEAVE in FORMAT if the matrix comes in blocks."
            )
        out.append((name, "".join(signs.get(x, x) for x in whole), place))
    return out


def _commands(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each command without its semicolon and without comments."""
    line, start, depth, quoted, held = 1, 1, 0, False, ""
    for sign in text:
        line += sign == "\n"
        if quoted or (sign == "'" and not depth):
            quoted = quoted != (sign == "'")
            held += sign
        elif sign == "[":
            depth += 1
        elif sign == "]" and depth:
            depth -= 1
        elif depth:
            held += "\n" * (sign == "\n")
        elif sign == ";":
            yield start, re.sub(r"^#nexus", "", held.strip(), flags=re.IGNORECASE).strip()
            held, start = "", line
        else:
            held += sign if held.strip() or sign.strip() else ""
            start = start if held.strip() else line
    if depth or quoted:
        raise ConfigError(f"{path}: a {'comment' if depth else 'quotation'} is not closed.")
    if held.strip():
        raise ConfigError(f"{path}, line {start}: a command does not end with a semicolon.")


def _size(text: str, name: str) -> int:
    found = re.search(rf"\b{name}\s*=\s*(\d+)", text, re.IGNORECASE)
    return int(found[1]) if found else 0


def _options(text: str) -> dict[str, str]:
    """Options of FORMAT in small letters; those without a value are "yes"."""
    found = re.findall(r"(\w+)(?:\s*=\s*('[^']*'|\"[^\"]*\"|\S+))?", text)
    return {name.lower(): value.strip("'\"") or "yes" for name, value in found}


def _rows(first: int, matrix: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(matrix.split("\n"), first):
        if line.strip():
            yield number, line.strip()


def _named(line: str) -> tuple[str, str]:
    """The name in front, which may be quoted, and the letters after it."""
    if line.startswith("'"):
        found = re.match(r"'((?:[^']|'')*)'", line)
        if found:
            return found[1].replace("''", "'"), "".join(line[found.end() :].split())
    name, *rest = line.split()
    return name, "".join(rest)


def _sequential(path: str, first: int, matrix: str, nchar: int) -> Found:
    found: list[list[str]] = []
    for number, line in _rows(first, matrix):
        if found and len(found[-1][1]) < nchar:
            found[-1][1] += "".join(line.split())
        else:
            found.append([*_named(line), f", line {number}"])
    return [(name, letters, place) for name, letters, place in found]


def _interleaved(path: str, first: int, matrix: str, nchar: int) -> Found:
    """Each name once per block; a block begins when the first name comes again."""
    order: list[str] = []
    letters: dict[str, str] = {}
    places: dict[str, str] = {}
    place, blocks = 0, 0
    for number, line in _rows(first, matrix):
        name, part = _named(line)
        if not order or (name == order[0] and place == len(order)):
            place, blocks = 0, blocks + 1
        expected = order[place] if place < len(order) else None
        if name != expected and (blocks > 1 or name in letters):
            raise ConfigError(
                f"{path}, line {number}: {name!r} is repeated, or out of order in its block."
            )
        if blocks == 1:
            order.append(name)
            letters[name], places[name] = "", f", line {number}"
        letters[name] += part
        place += 1
    return [(name, letters[name], places[name]) for name in order]
