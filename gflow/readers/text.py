"""Text of a file, compressed or not, with or without a byte order mark, of any line ending."""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

from gflow.errors import ConfigError

OPENERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ\x00": lzma.decompress,
}
"""How to unpack a file that begins with these bytes; its name does not matter."""

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_bytes(path: str | Path, missing: str = "") -> bytes:
    """The bytes of a file, unpacked if gzip, bzip2 or xz has packed it.

    Args:
        path: The file.
        missing: Where to get such a file; said when there is none.

    Raises:
        ConfigError: If it cannot be read or is damaged.
    """
    try:
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"There is no file {path}. {missing}".strip()) from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder; give a file in it.") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise ConfigError(f"Cannot read {path}: {getattr(error, 'strerror', error)}.") from error
    for mark, unpack in OPENERS.items():
        if data.startswith(mark):
            try:
                return unpack(data)
            except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
                raise ConfigError(
                    f"{path} is packed and damaged ({error}). Fetch or pack it again."
                ) from error
    if data.startswith((b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")):
        raise ConfigError(
            f"{path} is an archive or a workbook. Unpack it, or save its table as CSV; of packed "
            f"files gzip, bzip2 and xz are read as they are."
        )
    return data


def read_text(path: str | Path, missing: str = "", encoding: str | None = None) -> str:
    r"""The text of a file with line endings ``\n``.

    It is UTF-8, with or without a byte order mark, or UTF-16 or UTF-32 with one. Other encodings
    are not guessed.

    Args:
        path: The file, compressed or not.
        missing: Where to get such a file; said when there is none.
        encoding: Python's name of the encoding, such as "latin-1", if it is another.

    Raises:
        ConfigError: If it cannot be read, or is no such text.
    """
    data = read_bytes(path, missing)
    known = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding or known)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}, line {line}: the byte 0x{data[error.start]:02x} is not {error.encoding} "
            f"text. Save the file as UTF-8; if it is Latin-1: iconv -f latin1 -t utf-8 {path} > "
            f"new_file."
        ) from error
    except LookupError as error:
        raise ConfigError(f"There is no encoding {encoding!r}; Python knows 'latin-1'.") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ConfigError(
            f"{path}, line {line}: there is a null character, so this is no text, or text in "
            f"UTF-16 without a byte order mark. Save it as UTF-8."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def name_without_packing(path: str | Path) -> str:
    """The name of a file in small letters, without .gz, .bz2 or .xz."""
    name = Path(path).name.lower()
    for ending in (".gz", ".bz2", ".xz"):
        name = name.removesuffix(ending)
    return name
