"""Decoded memories against the formulas that made them."""

import golden
import numpy as np
import pytest

from mempack import Pack


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_decoded_memories(pack: Pack, uneven: Pack, dtype: type[np.floating], threads: int) -> None:
    references = [5, 0, 23, 5, 12]
    for read, budget in ((pack, golden.EVEN), (uneven, golden.UNEVEN)):
        keys, values, positions, counts = read.memory(references, dtype=dtype, threads=threads)
        assert keys.dtype == values.dtype == dtype and positions.dtype == np.int16 and counts.dtype == np.uint8
        for at, reference in enumerate(references):
            # The values of the tables are exact in float16.
            for found, expected in zip((keys[at], values[at], positions[at], counts[at]), golden.memory(reference, budget), strict=True):
                np.testing.assert_array_equal(found, expected.astype(found.dtype))


def test_given_arrays_are_filled(uneven: Pack) -> None:
    shape = (2, 2, 2, 7, 8)
    keys, values = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    memories = uneven.memory([3, 4], out=(keys, values))
    assert memories.keys is keys and memories.values is values
    fresh = uneven.memory([3, 4])
    np.testing.assert_array_equal(keys, fresh.keys)
    np.testing.assert_array_equal(values, fresh.values)


def test_one_and_none(pack: Pack) -> None:
    assert pack.memory(3).keys.shape == (1, 2, 2, 4, 8)
    assert pack.memory([]).keys.shape == (0, 2, 2, 4, 8)
    assert len(pack.memory(np.array([1, 2], np.uint8))) == 2


def test_arrays_that_do_not_fit(pack: Pack) -> None:
    def array(shape: tuple[int, ...] = (1, 2, 2, 4, 8), dtype: object = np.float32) -> np.ndarray:
        return np.zeros(shape, dtype)

    same, fixed = array(), array()
    fixed.flags.writeable = False
    cases = [
        ((array((2, 2, 2, 4, 8)), array()), ValueError, "shape"),
        ((array(), array(dtype=np.float64)), TypeError, "float32"),
        ((array(), array(dtype=np.float16)), TypeError, "float32"),
        ((same, same), ValueError, "same array"),
        ((same, same[:]), ValueError, "cannot be written"),
        ((fixed, array()), ValueError, "cannot be written"),
        ((array((1, 2, 2, 4, 16))[..., ::2], array()), ValueError, "contiguous"),
        ((array(), [0.0]), TypeError, "keys|values"),
        (array(), TypeError, "pair"),
        ((array(),), TypeError, "pair"),
    ]
    for out, kind, message in cases:
        with pytest.raises(kind, match=message):
            pack.memory(0, out=out)
    for dtype in (np.float64, "int8", "nonsense"):
        with pytest.raises(TypeError):
            pack.memory(0, dtype=dtype)
    for threads in (0, -1, 10**6):
        with pytest.raises(ValueError, match="threads"):
            pack.memory(0, threads=threads)


def test_arrays_are_copies(pack: Pack) -> None:
    first = pack.memory(0)
    first.keys[:] = 0
    assert pack.memory(0).keys.any()
