"""Text of files: packing, byte order marks, encodings, line endings, and what is refused."""

import bz2
import codecs
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gflow.errors import ConfigError
from gflow.readers.text import name_without_packing, read_text

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
MARKED = {
    "UTF-8": ("utf-8", b""),
    "UTF-8 with mark": ("utf-8", codecs.BOM_UTF8),
    "UTF-16": ("utf-16-le", codecs.BOM_UTF16_LE),
    "UTF-16, big end first": ("utf-16-be", codecs.BOM_UTF16_BE),
    "UTF-32": ("utf-32-le", codecs.BOM_UTF32_LE),
}

letters = st.characters(exclude_characters="\r\n\0\ufeff", exclude_categories=["Cs"])


@given(
    lines=st.lists(st.text(letters), max_size=4),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    packed=st.sampled_from(sorted(PACKED)),
    marked=st.sampled_from(sorted(MARKED)),
)
def test_text_comes_back_however_it_was_written(
    lines: list[str],
    ending: str,
    packed: str,
    marked: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    encoding, mark = MARKED[marked]
    file = tmp_path_factory.mktemp("text") / "name.says.nothing"
    file.write_bytes(PACKED[packed](mark + ending.join(lines).encode(encoding)))
    assert read_text(file) == "\n".join(lines)


def test_another_encoding_is_refused_with_the_line_and_read_if_named(tmp_path: Path) -> None:
    file = tmp_path / "obs.csv"
    file.write_bytes("a,b\nGröße,1\n".encode("latin-1"))
    with pytest.raises(
        ConfigError,
        match=r"obs.csv, line 2: the byte 0xf6 is not utf-8 text. Save the file as UTF-8; if it "
        r"is Latin-1: iconv -f latin1 -t utf-8 .*obs.csv > new_file",
    ):
        read_text(file)
    assert read_text(file, encoding="latin-1") == "a,b\nGröße,1\n"
    with pytest.raises(ConfigError, match="There is no encoding 'latin-one'"):
        read_text(file, encoding="latin-one")


BROKEN = {
    "cut short": (gzip.compress(b"a,b\n" * 100)[:-12], "is packed and damaged .*Fetch or pack it"),
    "overwritten": (gzip.compress(b"a,b\n" * 9)[:12] + b"x" * 40, "is packed and damaged"),
    "archive": (b"PK\x03\x04rest", "is an archive or a workbook. Unpack it, or save its table as"),
    "zstandard": (b"\x28\xb5\x2f\xfdrest", "is an archive or a workbook"),
    "binary": (b"a,b\n1,\x00\x01", "line 2: there is a null character, so this is no text"),
    "UTF-16 without mark": ("a,b".encode("utf-16-le"), "line 1: there is a null character"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_text_is_refused(case: str, tmp_path: Path) -> None:
    data, message = BROKEN[case]
    file = tmp_path / "it"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_text(file)


def test_missing_files_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no file .*nothing\. Ask for it\.$"):
        read_text(tmp_path / "nothing", "Ask for it.")
    with pytest.raises(ConfigError, match="is a folder; give a file in it"):
        read_text(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="There is no file"):
        read_text(tmp_path / "file" / "within")
    with pytest.raises(ConfigError, match="Cannot read a.*null"):
        read_text("a\0b")


def test_packing_is_no_part_of_the_name() -> None:
    assert name_without_packing("Folder/M.SDF.gz") == "m.sdf"
    assert name_without_packing("m.csv") == "m.csv"
