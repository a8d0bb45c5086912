"""Penalties against numpy loops, projectors and autograd through an SVD."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from recscale.collapse.penalties import (
    best_lambda,
    orthogonality,
    pattern_spread,
    spectrum_flattening,
    subspace_similarity,
    table_grams,
)

SETS, ROWS, FIELDS, DIM = 3, 50, 4, 5


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_orthogonality_is_the_sum_over_blocks() -> None:
    blocks, scales = _random(SETS, FIELDS, FIELDS, 6, DIM), _random(SETS, FIELDS, FIELDS, seed=1)
    expected = sum(
        np.linalg.norm(blocks[index].numpy().T @ blocks[index].numpy() - scales[index].item() * np.eye(DIM)) ** 2
        for index in np.ndindex(SETS, FIELDS, FIELDS)
    )
    assert orthogonality(blocks, scales).item() == pytest.approx(expected)


def test_scaled_rotations_have_no_orthogonality_penalty() -> None:
    rotations, _ = torch.linalg.qr(_random(SETS, FIELDS, FIELDS, DIM, DIM))
    blocks = 3 * rotations
    torch.testing.assert_close(best_lambda(blocks), torch.full((SETS, FIELDS, FIELDS), 9.0, dtype=torch.float64))
    assert orthogonality(blocks, best_lambda(blocks)).item() == pytest.approx(0, abs=1e-20)


def test_best_lambda_is_where_the_penalty_has_no_slope() -> None:
    blocks = _random(SETS, FIELDS, FIELDS, DIM, DIM)
    scales = best_lambda(blocks).requires_grad_()
    orthogonality(blocks, scales).backward()
    torch.testing.assert_close(scales.grad, torch.zeros_like(scales), atol=1e-10, rtol=0)


def test_pattern_spread_is_numpys_variance_over_sets() -> None:
    patterns = _random(SETS, FIELDS, FIELDS)
    assert pattern_spread(patterns).item() == pytest.approx(patterns.numpy().var(axis=0).sum())
    assert pattern_spread(patterns[:1].expand(SETS, -1, -1)).item() == pytest.approx(0, abs=1e-20)


def test_similarity_is_the_mean_squared_cosine_of_principal_angles() -> None:
    emb = _random(SETS, ROWS, FIELDS, DIM)
    expected = np.mean(
        [
            np.cos(subspace_angles(emb[m, :, field].numpy(), emb[n, :, field].numpy())) ** 2
            for field in range(FIELDS)
            for m in range(SETS)
            for n in range(m)
        ]
    )
    assert subspace_similarity(emb).item() == pytest.approx(expected, rel=1e-3)


def test_similarity_is_1_for_one_space_and_0_for_spaces_at_right_angles() -> None:
    emb = _random(1, ROWS, FIELDS, DIM)
    mixed = emb @ _random(DIM, DIM, seed=1)
    assert subspace_similarity(torch.cat((emb, mixed))).item() == pytest.approx(1, abs=1e-2)
    apart = torch.zeros(2, ROWS, FIELDS, DIM, dtype=torch.float64)
    apart[0, : ROWS // 2], apart[1, ROWS // 2 :] = emb[0, : ROWS // 2], emb[0, ROWS // 2 :]
    assert subspace_similarity(apart).item() == pytest.approx(0, abs=1e-12)


def test_similarity_has_the_gradient_of_finite_differences_also_where_ids_are_fewer_than_dimensions() -> None:
    emb = _random(2, 8, 2, 3)
    emb[:, :, 1] = emb[:, [0, 1] * 4, 1]
    assert torch.autograd.gradcheck(subspace_similarity, emb.requires_grad_(), atol=1e-4)


def test_a_table_of_zeros_is_like_no_other_and_one_that_is_not_finite_is_not_hidden() -> None:
    emb = torch.randn(2, 8, 2, 3, generator=torch.Generator().manual_seed(0))
    emb[0] = 0
    similarity = subspace_similarity(emb.requires_grad_())
    similarity.backward()
    assert similarity.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(emb.grad).all()
    broken = torch.where(torch.arange(3) == 1, torch.nan, emb.detach())
    assert not torch.isfinite(subspace_similarity(broken))


SIZES = (30, 4, 12, 100)
RANKS = torch.tensor([6, 4, 6, 6])


def _by_svd(table: torch.Tensor) -> torch.Tensor:
    """mean_i Var_k(s_k / mean s) as it is written."""
    spectra = [torch.linalg.svdvals(part) for part in table.split(SIZES)]
    return torch.stack([(s / s.mean()).var(correction=0) for s in spectra]).mean()


def test_flattening_in_closed_form_is_autograd_through_an_svd() -> None:
    table = (_random(sum(SIZES), 6) * torch.tensor([1, 0.5, 0.1, 2, 0.2, 0.3], dtype=torch.float64)).requires_grad_()
    expected = _by_svd(table)
    expected.backward()
    found = spectrum_flattening(table_grams(table.detach(), SIZES), RANKS)
    parts = zip(table.detach().split(SIZES), found.factor_TKK, strict=True)
    assert found.value.item() == pytest.approx(expected.item(), rel=1e-9)
    torch.testing.assert_close(torch.cat([part @ factor for part, factor in parts]), table.grad, rtol=1e-6, atol=1e-9)


def test_a_flat_table_and_a_table_of_zeros_are_not_pushed() -> None:
    flat, _ = torch.linalg.qr(_random(20, 6))
    found = spectrum_flattening(table_grams(torch.cat((flat, torch.zeros_like(flat))), (20, 20)), torch.tensor([6, 6]))
    assert found.factor_TKK.abs().max().item() < 1e-12
    assert found.value.item() == pytest.approx(0, abs=1e-12)


def test_grams_of_large_tables_are_summed_over_chunks() -> None:
    table = torch.randn(200_000, 6, generator=torch.Generator().manual_seed(0))
    exact = table.double().numpy()
    expected = np.stack([exact[:150_000].T @ exact[:150_000], exact[150_000:].T @ exact[150_000:]])
    np.testing.assert_allclose(table_grams(table.double(), (150_000, 50_000)).numpy(), expected, rtol=1e-12, atol=1e-8)
    rounded = table_grams(table, (150_000, 50_000))
    assert rounded.dtype is torch.float64
    assert np.abs(rounded.numpy() - expected).max() < 1e-6 * expected.max()


def test_a_direction_of_a_hundredth_is_pushed_as_in_float64_though_the_table_is_float32() -> None:
    exact = _random(20_000, 6) * torch.tensor([1, 0.5, 0.1, 2, 0.02, 0.3], dtype=torch.float64)
    pushes = [
        table @ spectrum_flattening(table_grams(table, (20_000,)), torch.tensor([6])).factor_TKK[0].to(table.dtype)
        for table in (exact, exact.float())
    ]
    torch.testing.assert_close(pushes[1].double(), pushes[0], rtol=0, atol=2e-3 * pushes[0].abs().max().item())
