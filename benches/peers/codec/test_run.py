"""python3 -m unittest discover benches/peers/codec      (needs numpy, no faiss)"""
import pathlib
import tempfile
import unittest

import numpy as np

import chosen
import run

ROW = {"system": "mempack", "codec": "RQ14x8", "bytes": 14, "relative_mse": 0.12, "encode_per_s": 3000.0, "decode_per_s": 2e6,
       "codebook_bytes": 1_146_880, "train_s": 20.0}


class Bound(unittest.TestCase):
    def test_equal_variances_lose_by_the_rate_alone(self):
        # 80 bits for 40 dimensions: two bits each, a sixteenth of the variance.
        self.assertAlmostEqual(run.min_error(np.full(40, 3.0), 10), 1 / 16)

    def test_axes_below_the_level_get_no_bits(self):
        # All eight bits for the first: the others are lost whole.
        variances = np.array([1.0, 1e-9, 1e-9])
        self.assertAlmostEqual(run.min_error(variances, 1), (2.0**-16 + 2e-9) / (1 + 2e-9))

    def test_the_synthetic_vectors_at_the_papers_size(self):
        self.assertAlmostEqual(run.min_error(run.spectrum(), 14), 0.076, 3)


class Vectors(unittest.TestCase):
    def split(self, *shape, dtype=np.float32):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "vectors.npy"
            np.save(path, np.arange(np.prod(shape), dtype=dtype).reshape(shape))
            return [part.copy() for part in run.split(path)]

    def test_a_matrix_is_split_in_order_into_whole_memories(self):
        train, held_out = self.split(1000, 8)
        self.assertEqual((train.shape, held_out.shape), ((864, 8), (128, 8)))
        self.assertEqual((train[0, 0], held_out[0, 0]), (0, 864 * 8))

    def test_what_is_no_matrix_of_float32_is_refused(self):
        for shape, dtype in [((1000, 8), np.float64), ((1000,), np.float32), ((1000, 12), np.float32), ((100, 8), np.float32)]:
            with self.assertRaises(SystemExit):
                self.split(*shape, dtype=dtype)


class Codecs(unittest.TestCase):
    def test_the_papers_codec_fits_the_dimension(self):
        self.assertEqual(chosen.paper(80), "OPQ20_80,Residual2x14,PQ8x10")
        self.assertEqual(chosen.paper(64), "OPQ16_64,Residual2x14,PQ8x10")

    def test_vectors_that_a_codec_needs(self):
        needs = {"OPQ20_80,Residual2x14,PQ8x10": 1 << 14, "PRQ2x7x8": 256, "RQ14x8": 256, "OPQ16_80,PQ16x7": 128, "OPQ8_80,PQ8x10": 1024}
        for codec, least in needs.items():
            self.assertEqual(chosen.min_vectors(codec), least, codec)


class Table(unittest.TestCase):
    def test_ratios_are_to_the_reference(self):
        paper = {**ROW, "system": "faiss", "codec": "paper", "relative_mse": 0.15, "encode_per_s": 2000.0, "decode_per_s": 1e6}
        lines = run.table([paper, ROW], paper, {14: 0.076}).splitlines()
        self.assertEqual(lines[2], "| 14 | | *rate-distortion bound* | 0.0760 | 0.51 | | | | | | |")
        self.assertEqual(lines[3], "| 14 | mempack | `RQ14x8` | 0.1200 | 0.80 | 3,000 | 1.50 | 2,000,000 | 2.00 | 1,147 | 20 |")
        self.assertIn("| 0.1200 | - | 3,000 | - |", run.table([ROW], None, {}))

    def test_only_what_stands_between_the_markers_is_replaced(self):
        begin, end = run.MARKERS
        self.assertEqual(run.replaced(f"a\n{begin}old\n{end}b\n", "new\n"), f"a\n{begin}new\n{end}b\n")


if __name__ == "__main__":
    unittest.main()
