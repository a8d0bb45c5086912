"""The published table is whole, under our names, and travels with the package."""

from collections import Counter

from recscale.curves.published import PublishedDataset, published_aucs
from recscale.records import Arm


def test_every_cell_with_numbers_is_read_under_our_names():
    criteo, avazu = (published_aucs(dataset) for dataset in (PublishedDataset.CRITEO, PublishedDataset.AVAZU))
    assert (len(criteo), len(avazu)) == (6 * 9, 6 * 9 - 2)
    assert Counter(cell.family for cell in criteo) == dict.fromkeys(
        ("dnn", "ipnn", "nfwfm", "xdeepfm", "dcnv2", "finalmlp"), 9
    )
    assert not [cell for cell in avazu if (cell.family, cell.scale) == ("nfwfm", 10)]
    found = {(cell.family, cell.arm, cell.scale): (cell.mean, cell.std) for cell in criteo}
    assert found["dnn", Arm.SINGLE, 1] == (0.81228, 0.00004)
    assert found["finalmlp", Arm.MULTI, 10] == (0.81303, 0.00012)


def test_multi_embedding_at_the_largest_scale_beats_the_base_as_the_paper_says():
    for dataset in PublishedDataset:
        found = {(cell.family, cell.arm, cell.scale): cell.mean for cell in published_aucs(dataset)}
        gains = [
            mean - found[family, Arm.SINGLE, 1]
            for (family, arm, s), mean in found.items()
            if arm is Arm.MULTI and s == 10
        ]
        assert min(gains) > 0.0003
        assert max(gains) < 0.0026
