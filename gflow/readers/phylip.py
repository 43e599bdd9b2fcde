"""PHYLIP alignments: sequential or interleaved, names of ten columns or up to a blank."""

from gflow.errors import ConfigError

Found = list[tuple[str, str, str]]
Lines = list[tuple[int, str]]

NAME_WIDTH = 10


def parse_phylip(path: str, text: str) -> Found:
    """(name, sequence, place) of the one alignment of a file; a dot means as in the first sequence.

    The four usual readings are tried. The one that gives the announced number of sequences of the
    announced length holds; that two different ones do is refused.

    Raises:
        ConfigError: If none does, or several.

    Reference:
        Felsenstein, PHYLIP (Phylogeny Inference Package) version 3.6, 2005, documentation of
        molecular sequence programs
    """
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    count, sites = (int(word) for word in lines[0][1].split()[:2])
    body = lines[1:]
    if len(body) < count:
        raise ConfigError(
            f"{path}, line {lines[0][0]}: {count} sequences are announced and {len(body)} lines "
            f"follow."
        )
    readings: dict[str, Found] = {}
    faults: list[str] = []
    for names, cut in (("names up to a blank", _up_to_blank), ("of ten columns", _ten_columns)):
        for order, layout in (("one after the other", _sequential), ("in blocks", _interleaved)):
            try:
                found = layout(body, count, sites, cut)
            except ValueError as error:
                faults.append(str(error))
                continue
            if found not in readings.values():
                readings[f"{names}, {order}"] = found
    if len(readings) > 1:
        raise ConfigError(
            f"{path} has {len(readings)} readings: {'; or '.join(readings)}. Save it as "
            f"FASTA, or use longer names."
        )
    if not readings:
        raise ConfigError(
            f"{path} announces {count} sequences of {sites} letters in line {lines[0][0]}, and the "
            f"lines below are not that. Read with names up to a blank: {faults[0]} one after the "
            f"other, {faults[1]} if interleaved. Correct the file, or save it as FASTA."
        )
    return [
        (name, sequence, place)
        for name, sequence, place in _matched(next(iter(readings.values())), path)
    ]


def _up_to_blank(line: str) -> tuple[str, str]:
    name, *rest = line.split()
    return name, "".join(rest)


def _ten_columns(line: str) -> tuple[str, str]:
    return line[:NAME_WIDTH].strip(), "".join(line[NAME_WIDTH:].split())


def _sequential(lines: Lines, count: int, sites: int, cut: object) -> Found:
    found: Found = []
    waiting = list(reversed(lines))
    for _ in range(count):
        if not waiting:
            raise ValueError(f"only {len(found)} sequences")
        number, line = waiting.pop()
        name, letters = cut(line)  # type: ignore[operator]
        while len(letters) < sites and waiting:
            letters += "".join(waiting.pop()[1].split())
        if len(letters) != sites:
            raise ValueError(f"{name!r} (line {number}) has {len(letters)} letters")
        found.append((name, letters, f", line {number}"))
    if waiting:
        raise ValueError(f"line {waiting[-1][0]} is left over")
    return found


def _interleaved(lines: Lines, count: int, sites: int, cut: object) -> Found:
    named = [(number, *cut(line)) for number, line in lines[:count]]  # type: ignore[operator]
    rest = ["".join(line.split()) for _, line in lines[count:]]
    if len(rest) % count:
        raise ValueError(f"{len(lines)} lines are no blocks of {count}")
    found: Found = []
    for place, (number, name, letters) in enumerate(named):
        whole = letters + "".join(rest[place::count])
        if len(whole) != sites:
            raise ValueError(f"{name!r} (line {number}) has {len(whole)} letters")
        found.append((name, whole, f", line {number}"))
    return found


def _matched(found: Found, path: str) -> Found:
    return [
        (name, write_out(letters, found[0][1], ".", f"{path}{place}"), place)
        for name, letters, place in found
    ]


def write_out(letters: str, first: str, match: str, where: str) -> str:
    """`letters` with the letter of the `first` sequence in place of the character `match`.

    Raises:
        ConfigError: If the first sequence itself has one, or is too short.
    """
    if match not in letters or not match:
        return letters
    places = [i for i, letter in enumerate(letters) if letter == match]
    if places[-1] >= len(first) or any(first[i] == match for i in places):
        raise ConfigError(
            f"{where}: {match!r} stands for the letter of the first sequence, which has none at "
            f"column {next(i for i in places if i >= len(first) or first[i] == match) + 1}."
        )
    return "".join(first[i] if letter == match else letter for i, letter in enumerate(letters))
