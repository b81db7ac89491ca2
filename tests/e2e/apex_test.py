"""The masks that apex's code gives for the same weights (reference/apex_masks.npz)."""

import e2e  # first: it may start the test again under another Python

import numpy as np

from oracle import tiles_of, transposable_masks


class ApexMasks(e2e.Case):
    def setUp(self):
        super().setUp()
        self.data = np.load(e2e.shared("reference/apex_masks.npz"))

    def mask(self, case, pattern):
        weight = self.data[f"{case}:weight"]
        np.save(self.folder / "w.npy", weight)
        output, _ = self.prune(self.folder / "w.npy", pattern)
        pruned = np.load(output)
        self.assertEqual((pruned.dtype, pruned.shape), (weight.dtype, weight.shape))
        np.testing.assert_array_equal(pruned[pruned != 0], weight[pruned != 0])
        return weight, pruned != 0

    def test_two_four_is_apexs_wherever_no_scores_tie(self):
        cases = [name[:-len(":m4n2_1d")] for name in self.data if name.endswith(":m4n2_1d")]
        self.assertGreaterEqual(len(cases), 6)
        for case in cases:
            with self.subTest(case):
                weight, mask = self.mask(case, "2:4")
                # Groups along the input channels of each output channel and kernel position.
                groups = np.moveaxis(np.abs(weight), 1, -1).reshape(-1, 4)
                ordered = np.sort(groups, axis=1)
                tied = ordered[:, 1] == ordered[:, 2]  # the last one kept and the first one dropped
                wanted = np.moveaxis(self.data[f"{case}:m4n2_1d"], 1, -1).reshape(-1, 4) != 0
                mine = np.moveaxis(mask, 1, -1).reshape(-1, 4)
                np.testing.assert_array_equal(mine[~tied], wanted[~tied])
                self.assertLess(tied.mean(), 0.5, "the case says little")
                self.assertTrue((mine.sum(1) == 2).all())

    def test_transposable_is_apexs_wherever_no_scores_tie(self):
        weight, mask = self.mask("square", "2:4-transposable")
        tiles = tiles_of(np.abs(weight)[None, :, None, :]).reshape(-1, 16)
        sums = np.sort(tiles @ transposable_masks().reshape(-1, 16).T, axis=1)
        # A float32 sum of 8 terms is off by less than 8 roundings.
        clear = sums[:, -1] - sums[:, -2] > sums[:, -1] * 8 * 2.0**-23
        self.assertGreater(clear.mean(), 0.5, "the case says little")
        mine = tiles_of(mask[None, :, None, :].astype(float)).reshape(-1, 16)
        wanted = tiles_of(self.data["square:m4n2_2d_best"][None, :, None, :]).reshape(-1, 16)
        np.testing.assert_array_equal(mine[clear], wanted[clear])


if __name__ == "__main__":
    e2e.main()
