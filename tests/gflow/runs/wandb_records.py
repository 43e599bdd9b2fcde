"""What W&B wrote offline, read back: its files are LevelDB logs of messages."""

import importlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 32_768
HEADER = 7
FULL, FIRST, LAST = 1, 2, 4


def records(path: Path) -> Iterator[Any]:
    """The messages of a .wandb file, in order."""
    messages: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    data, at, parts = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # too little is left of the block for another header
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        piece = data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        parts = piece if kind in (FULL, FIRST) else parts + piece
        if kind in (FULL, LAST):
            record = messages.Record()
            record.ParseFromString(parts)
            yield record


def history(path: Path) -> list[dict[str, str]]:
    """The rows that were logged: names, joined by dots, and JSON."""
    return [
        {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
        for record in records(path)
        if record.WhichOneof("record_type") == "history"
    ]
