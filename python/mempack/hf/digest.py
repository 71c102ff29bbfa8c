"""BLAKE3 of files, with numpy: the digest by which packs name tokenizers and architectures.

The chunks of 1 KiB are hashed side by side, so that a file of some megabytes takes a fraction of a second.
"""

import numpy as np
from numpy.typing import NDArray

_IV = np.array([0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19], dtype=np.uint32)
_PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
_CHUNK, _BLOCK = 1024, 64
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8

_Words = NDArray[np.uint32]


def blake3(data: bytes) -> str:
    """The BLAKE3 digest of bytes, 32 bytes in hexadecimal."""
    if len(data) <= _CHUNK:
        return _hex(_chunk(data, 0, root=True))
    whole = len(data) // _CHUNK
    values = [_whole_chunks(data[: whole * _CHUNK])]
    if whole * _CHUNK < len(data):
        values.append(_chunk(data[whole * _CHUNK :], whole, root=False)[None])
    level = np.concatenate(values)
    while len(level) > 1:
        pairs = len(level) // 2
        root = len(level) == 2
        blocks = level[: 2 * pairs].reshape(pairs, 16)
        flags = np.full(pairs, _PARENT | (_ROOT if root else 0), dtype=np.uint32)
        parents = _compress(np.tile(_IV, (pairs, 1)), blocks, np.zeros(pairs, dtype=np.uint64), np.full(pairs, _BLOCK, dtype=np.uint32), flags)
        # A node without a neighbour moves up as it is, which gives the left subtrees whole powers of two.
        level = np.concatenate([parents, level[2 * pairs :]])
    return _hex(level[0])


def _hex(words: _Words) -> str:
    return words.astype("<u4").tobytes().hex()


def _whole_chunks(data: bytes) -> _Words:
    """The chaining values `[chunks, 8]` of chunks that are all full and none of which is the root."""
    blocks = np.frombuffer(data, dtype="<u4").astype(np.uint32).reshape(-1, _CHUNK // _BLOCK, 16)
    count = len(blocks)
    value = np.tile(_IV, (count, 1))
    numbers, lengths = np.arange(count, dtype=np.uint64), np.full(count, _BLOCK, dtype=np.uint32)
    last = _CHUNK // _BLOCK - 1
    for index in range(last + 1):
        flag = (_CHUNK_START if index == 0 else 0) | (_CHUNK_END if index == last else 0)
        value = _compress(value, blocks[:, index], numbers, lengths, np.full(count, flag, dtype=np.uint32))
    return value


def _chunk(data: bytes, number: int, *, root: bool) -> _Words:
    """The chaining value `[8]` of one chunk of 0 to 1024 bytes; the digest itself if it is the root."""
    starts = range(0, max(len(data), 1), _BLOCK)
    value = _IV[None]
    for start in starts:
        block = data[start : start + _BLOCK]
        flag = (_CHUNK_START if start == 0 else 0) | ((_CHUNK_END | (_ROOT if root else 0)) if start == starts[-1] else 0)
        words = np.frombuffer(block.ljust(_BLOCK, b"\0"), dtype="<u4").astype(np.uint32)[None]
        value = _compress(value, words, np.array([number], dtype=np.uint64), np.array([len(block)], dtype=np.uint32), np.array([flag], dtype=np.uint32))
    first: _Words = value[0]
    return first


def _compress(value: _Words, block: _Words, counter: NDArray[np.uint64], length: _Words, flags: _Words) -> _Words:
    """The compression function for many blocks: `value` is `[n, 8]`, `block` `[n, 16]`, the others `[n]`."""
    count = len(value)
    state = np.empty((16, count), dtype=np.uint32)
    state[:8], state[8:12] = value.T, _IV[:4, None]
    state[12], state[13] = (counter & np.uint64(0xFFFFFFFF)).astype(np.uint32), (counter >> np.uint64(32)).astype(np.uint32)
    state[14], state[15] = length, flags
    words = np.ascontiguousarray(block.T)
    for _ in range(7):
        # Columns, then diagonals: four quarters of the state at once.
        _mix(state, [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15], words[0:8:2], words[1:8:2])
        _mix(state, [0, 1, 2, 3], [5, 6, 7, 4], [10, 11, 8, 9], [15, 12, 13, 14], words[8:16:2], words[9:16:2])
        words = words[_PERMUTATION]
    result: _Words = (state[:8] ^ state[8:]).T.copy()
    return result


def _mix(state: _Words, a: list[int], b: list[int], c: list[int], d: list[int], first: _Words, second: _Words) -> None:
    va, vb, vc, vd = state[a], state[b], state[c], state[d]
    for word, rotate_d, rotate_b in ((first, 16, 12), (second, 8, 7)):
        va = va + vb + word
        vd = _rotated(vd ^ va, rotate_d)
        vc = vc + vd
        vb = _rotated(vb ^ vc, rotate_b)
    state[a], state[b], state[c], state[d] = va, vb, vc, vd


def _rotated(words: _Words, bits: int) -> _Words:
    result: _Words = (words >> np.uint32(bits)) | (words << np.uint32(32 - bits))
    return result
