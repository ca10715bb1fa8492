"""Long lists of a message in parts, so that a receiver gets only those that it lacks. Pure.

``split`` replaces each long list by the digests of its parts. Where a part ends depends on the
elements around that place alone (content-defined chunking, as backup programs do it): one element
more or less changes one part. ``join`` puts the lists together again (docs/decisions/0065).
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from portchain.rpc.fields import ContractError, as_mapping, read_list, read_text

PART_BYTES = 2048
"""Average size by which a part exceeds ``SMALL_BYTES``, as JSON. A change costs a part or two, and
the digests of all others."""

SMALL_BYTES = 1024
"""Smaller parts are sent although the receiver has them: to find one takes longer than to read it.
They are parts because several chains of a message may have them. A long list has one at its end."""

_MIN_BYTES = 512  # shorter lists stay as they are
_KEY, _PACKED_KEY = "parts", "packed_parts"
_ITEMS_PACKED = 1000  # in one text
_MOST_UNPACKED = 1 << 26  # bytes, so that a damaged message does not take all memory
_MAX_DEPTH = 20
_MAX_ELEMENTS = 1_000_000  # in all lists of a message together
_HASH_BITS = 32

Part = list[Any]


class MissingPartError(Exception):
    """The receiver lacks a part of a list."""


def canonical(value: Any) -> str:
    """Return a value as JSON, the same text in every process."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(text: str) -> str:
    """Return 22 characters that identify a text."""
    raw = hashlib.sha256(text.encode()).digest()[:16]
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def split(value: Any, parts: dict[str, Part]) -> Any:
    """Return a value in which long lists are replaced by the digests of their parts.

    :param value: what JSON can express.
    :param parts: digest -> part; those of the value are added.
    """
    if isinstance(value, Mapping):
        return {key: split(item, parts) for key, item in value.items()}
    if not isinstance(value, list | tuple):
        return value
    elements = [split(element, parts) for element in value]
    texts = [canonical(element) for element in elements]
    if sum(map(len, texts)) < _MIN_BYTES:
        return elements
    digests = []
    start = 0
    length = 0
    for end, text in enumerate(texts, 1):
        length += len(text)
        if end == len(texts) or (length >= SMALL_BYTES and _ends_part(text)):
            name = digest(",".join(texts[start:end]))
            parts[name] = elements[start:end]
            digests.append(name)
            start, length = end, 0
    return {_KEY: digests}


def is_small(part: Part) -> bool:
    """Tell whether a part is sent in any case."""
    return len(canonical(part)) < SMALL_BYTES


def _ends_part(text: str) -> bool:
    """Tell whether a part ends behind an element: the more likely, the longer the element."""
    raw = hashlib.sha256(text.encode()).digest()
    number = int.from_bytes(raw[: _HASH_BITS // 8], "big")
    return number * PART_BYTES < len(text) << _HASH_BITS


def join(value: Any, find: Callable[[str], Part | None]) -> Any:
    """Return a value with all of its lists, the opposite of ``split``.

    :param find: returns the part with a digest, or None.
    :raises MissingPartError: ``find`` does not know a part.
    :raises ContractError: the value has too many elements, or parts of itself.
    """
    return _Joining(find).join(value, 0)


class _Joining:
    def __init__(self, find: Callable[[str], Part | None]) -> None:
        self._find = find
        self._elements = 0

    def join(self, value: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ContractError(f"{_KEY}: a value is nested more than {_MAX_DEPTH} deep")
        if isinstance(value, Mapping):
            if value.keys() == {_KEY}:
                names = self._counted(read_list(value, _KEY))
                return [each for name in names for each in self._part(name, depth)]
            return {key: self.join(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return self._each(value, depth)
        return value

    def _part(self, name: Any, depth: int) -> list[Any]:
        part = self._find(read_text({_KEY: name}, _KEY))
        if part is None:
            raise MissingPartError(name)
        return self._each(part, depth)

    def _each(self, elements: Sequence[Any], depth: int) -> list[Any]:
        return [self.join(element, depth + 1) for element in self._counted(elements)]

    def _counted(self, elements: Sequence[Any]) -> Sequence[Any]:
        self._elements += len(elements)
        if self._elements > _MAX_ELEMENTS:
            raise ContractError(f"{_KEY}: more than {_MAX_ELEMENTS} elements")
        return elements


def pack(parts: Mapping[str, Part]) -> dict[str, str]:
    """Return what a message contains of parts: compressed, as text.

    Their elements are much alike: a part takes a third.
    """
    return {_PACKED_KEY: _pack(parts)} if parts else {}


def pack_items(items: Sequence[Any]) -> list[str]:
    """Return items of a message as compressed texts, for ``unpack_items``."""
    starts = range(0, len(items), _ITEMS_PACKED)
    return [_pack(items[start : start + _ITEMS_PACKED]) for start in starts]


def unpack_items(texts: Sequence[Any], name: str) -> list[Any]:
    """Return the items that texts contain.

    :param name: of the texts in the message.
    :raises ContractError: they cannot be unpacked, or are no lists.
    """
    packed = [read_text({name: text}, name) for text in texts]
    return [item for text in packed for item in read_list({name: _unpack(text, name)}, name)]


def _pack(value: Any) -> str:
    return base64.b64encode(zlib.compress(canonical(value).encode())).decode()


def _unpack(text: str, name: str) -> Any:
    """Return what has been packed.

    :param name: of the text in the message.
    :raises ContractError: it is damaged, or has more than `_MOST_UNPACKED` bytes.
    """
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(base64.b64decode(text), _MOST_UNPACKED)
        if unpacking.eof:
            return json.loads(unpacked)
    except (zlib.error, ValueError, RecursionError) as error:
        raise ContractError(f"{name}: the data is damaged") from error
    raise ContractError(f"{name}: the data is cut off, or too long")


def read_parts(message: Mapping[str, Any]) -> dict[str, Part]:
    """Return the parts that a message contains, packed or not: digest -> part.

    :raises ContractError: they are not lists under a digest, or cannot be unpacked.
    """
    packed = message.get(_PACKED_KEY)
    if packed is not None and not isinstance(packed, str):
        raise ContractError(f"{_PACKED_KEY}: expected text, got {type(packed).__name__}")
    parts = _unpack(packed, _PACKED_KEY) if packed else message.get(_KEY, {})
    found = as_mapping(parts, _KEY)
    return {str(name): read_list(found, name) for name in found}
