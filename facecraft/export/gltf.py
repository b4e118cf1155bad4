"""The container of glTF 2.0: one binary file (GLB) of a JSON scene and the numbers that it names.

Readers take foreign files: every offset, count and type is checked before it is used.
"""

import json
import struct
from pathlib import Path

import numpy as np

from facecraft import __version__
from facecraft.errors import InputError

_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_FLOAT, _UINT = 5126, 5125
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_ARRAY_BUFFER, _INDEX_BUFFER = 34962, 34963


class GlbWriter:
    """A scene in the making: `scene` is its JSON; numbers are added one accessor after the other."""

    def __init__(self, extras: dict):
        asset = {"version": "2.0", "generator": f"facecraft {__version__}"}
        asset["extras"] = {"synthetic": True, "units": "m", **extras}
        self.scene = {"asset": asset, "accessors": [], "bufferViews": []}
        self._data = bytearray()

    def add_bytes(self, data: bytes, **properties) -> int:
        """Number of a new buffer view."""
        self._data.extend(b"\0" * (-len(self._data) % 4))
        view = {"buffer": 0, "byteOffset": len(self._data), "byteLength": len(data), **properties}
        self._data.extend(data)
        return self._add("bufferViews", view)

    def add_vertices(self, values: np.ndarray, bounds: bool = False) -> int:
        """Number of an accessor of float32 or uint8 [n] or [n, 2 to 4]; `bounds` as POSITION must have."""
        view = self.add_bytes(values.tobytes(), target=_ARRAY_BUFFER)
        return self._add("accessors", self._accessor(values, bounds) | {"bufferView": view})

    def add_indices(self, faces: np.ndarray) -> int:
        """Number of an accessor of triangles [F, 3]."""
        corners = faces.astype("<u4").ravel()
        view = self.add_bytes(corners.tobytes(), target=_INDEX_BUFFER)
        accessor = {"componentType": _UINT, "count": len(corners), "type": "SCALAR", "bufferView": view}
        return self._add("accessors", accessor)

    def add_matrices(self, matrices: np.ndarray) -> int:
        """Number of an accessor of matrices [n, 4, 4], which glTF stores by columns."""
        view = self.add_bytes(matrices.astype("<f4").transpose(0, 2, 1).tobytes())
        accessor = {"componentType": _FLOAT, "count": len(matrices), "type": "MAT4", "bufferView": view}
        return self._add("accessors", accessor)

    def add_sparse(self, values: np.ndarray) -> int:
        """Number of an accessor of float32 [n, 3] that stores only the rows that are not 0."""
        rows = np.flatnonzero(values.any(1))
        rows = rows if len(rows) else np.zeros(1, int)  # a sparse accessor must name at least one row
        indices = {"bufferView": self.add_bytes(rows.astype("<u4").tobytes()), "componentType": _UINT}
        kept = {"bufferView": self.add_bytes(values[rows].tobytes())}
        sparse = {"count": len(rows), "indices": indices, "values": kept}
        return self._add("accessors", self._accessor(values, bounds=True) | {"sparse": sparse})

    def write(self, path: Path) -> None:
        """Write the scene as one GLB."""
        scene = {**self.scene, "buffers": [{"byteLength": len(self._data)}]}
        text = json.dumps(scene, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        data = bytes(self._data) + b"\0" * (-len(self._data) % 4)
        head = struct.pack("<III", _MAGIC, 2, 12 + 8 + len(text) + 8 + len(data))
        chunks = struct.pack("<II", len(text), _JSON) + text + struct.pack("<II", len(data), _BIN) + data
        Path(path).write_bytes(head + chunks)

    def _accessor(self, values: np.ndarray, bounds: bool) -> dict:
        assert values.dtype in (np.float32, np.uint8), values.dtype
        kind = "SCALAR" if values.ndim == 1 else f"VEC{values.shape[1]}"
        component = next(code for code, name in _TYPES.items() if np.dtype(name) == values.dtype)
        accessor = {"componentType": component, "count": len(values), "type": kind}
        if bounds:
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        return accessor

    def _add(self, kind: str, item: dict) -> int:
        self.scene[kind].append(item)
        return len(self.scene[kind]) - 1


def read_glb(path: Path) -> tuple[dict, bytes]:
    """The JSON scene and the binary chunk of a GLB. InputError names what is wrong with the container."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    if len(data) < 20 or struct.unpack_from("<II", data) != (_MAGIC, 2):
        raise InputError(f"{path} is no GLB of version 2; give a binary glTF")
    chunks, start = {}, 12
    while start + 8 <= len(data):
        size, kind = struct.unpack_from("<II", data, start)
        if size > len(data) - start - 8:
            raise InputError(f"{path} has a chunk of {size} bytes beyond its end; it is cut off")
        chunks.setdefault(kind, data[start + 8 : start + 8 + size])
        start += 8 + size
    try:
        scene = json.loads(chunks.get(_JSON, b""))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} has no JSON that can be read ({str(error)[:80]}); it is damaged") from error
    if not isinstance(scene, dict):
        raise InputError(f"{path} has JSON that is no object; it is damaged")
    return scene, chunks.get(_BIN, b"")


def read_accessor(path: Path, scene: dict, data: bytes, number) -> np.ndarray:
    """Values of an accessor [n] or [n, width], integers that are normalized as float32 in [-1, 1].

    InputError names the accessor for a type, size or offset that cannot be, or values that are not finite.
    """
    accessor = lookup(path, scene, "accessors", number)
    component, kind = accessor.get("componentType"), accessor.get("type")
    if component not in _TYPES or kind not in _WIDTHS:
        raise InputError(f"{path} has accessor {number} of type {component} {kind}, which is not known; it is damaged")
    dtype, width = np.dtype(_TYPES[component]), _WIDTHS[kind]
    count = _natural(path, accessor, "count", f"accessor {number}")
    if "bufferView" in accessor:
        values = _read_view(path, scene, data, accessor, dtype, width, count)
    elif count * width * dtype.itemsize > 4096 * max(len(data), 1):
        raise InputError(f"{path} has accessor {number} of count {count} without data; it is damaged")
    else:
        values = np.zeros((count, width), dtype)
    if "sparse" in accessor:
        _fill_sparse(path, scene, data, accessor["sparse"], values)
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"{path} has accessor {number} with a value that is not finite; it is damaged")
    if accessor.get("normalized") is True and dtype.kind in "iu":
        values = np.maximum(values / np.float32(np.iinfo(dtype).max), -1).astype(np.float32)
    return values[:, 0] if width == 1 else values


def lookup(path: Path, scene: dict, kind: str, number) -> dict:
    """Item `number` of the list `kind` of a scene; InputError when there is none."""
    items = scene.get(kind)
    if not isinstance(items, list) or type(number) is not int or not 0 <= number < len(items):
        raise InputError(f"{path} has no {kind} {str(number)[:20]}; it is damaged")
    if not isinstance(items[number], dict):
        raise InputError(f"{path} has {kind} {number} that is no object; it is damaged")
    return items[number]


def _natural(path: Path, item: dict, name: str, owner: str, default: int | None = None) -> int:
    value = item.get(name, default)
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise InputError(f"{path} has {owner} with {name} {str(value)[:20]}; it must be a number from 0")
    return value


def _read_view(path, scene, data, item, dtype, width, count) -> np.ndarray:
    """Values [count, width] through a buffer view; a copy."""
    number = item["bufferView"]
    owner = f"bufferViews {number}"
    view = lookup(path, scene, "bufferViews", number)
    if view.get("buffer") != 0:
        raise InputError(f"{path} has {owner} outside the file; give a GLB that holds all its data")
    start, size = (_natural(path, view, name, owner, 0) for name in ("byteOffset", "byteLength"))
    offset = _natural(path, item, "byteOffset", "an accessor", 0)
    row = width * dtype.itemsize
    stride = _natural(path, view, "byteStride", owner, row)
    end = offset + (count - 1) * stride + row if count else 0
    if stride < row or end > size or start + size > len(data):
        raise InputError(f"{path} has {owner} of {size} bytes for count {count}; it is cut off or damaged")
    raw = np.frombuffer(data, np.uint8, size, start)
    rows = (
        np.lib.stride_tricks.as_strided(raw[offset:], (count, row), (stride, 1)) if count else raw[:0].reshape(0, row)
    )
    return np.ascontiguousarray(rows).view(dtype).reshape(count, width)


def _fill_sparse(path, scene, data, sparse, values: np.ndarray) -> None:
    parts = [sparse.get(name) for name in ("indices", "values")] if isinstance(sparse, dict) else [None]
    if not all(isinstance(part, dict) and "bufferView" in part for part in parts):
        raise InputError(f"{path} has a sparse accessor without indices or values; it is damaged")
    count = _natural(path, sparse, "count", "a sparse accessor")
    component = parts[0].get("componentType")
    if component not in (5121, 5123, 5125):
        raise InputError(f"{path} has sparse indices of type {component}; it is damaged")
    rows = _read_view(path, scene, data, parts[0], np.dtype(_TYPES[component]), 1, count)[:, 0]
    if count and rows.max() >= len(values):
        raise InputError(f"{path} has sparse indices up to {rows.max()}, beyond count {len(values)}; it is damaged")
    values[rows] = _read_view(path, scene, data, parts[1], values.dtype, values.shape[1], count)
