"""The toy experiment: the paper's numbers over seeds, and the gradient's decomposition against autograd."""

from dataclasses import replace
from statistics import fmean

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from recscale.collapse.toy import RECORD_EVERY, ToySettings, decompose, run_toy, toy_world

SEEDS = range(4)


def fm_gradient(world, first_AK):
    """d loss / d E_1 by autograd on the FM written out row by row."""
    first_AK = first_AK.clone().requires_grad_()
    first_ABK = first_AK[:, None].expand(-1, len(world.second), -1)
    second_ABK = world.second[None].expand_as(first_ABK)
    third_ABK = world.third[world.third_ids]
    logit_AB = (first_ABK * second_ABK + first_ABK * third_ABK + second_ABK * third_ABK).sum(2)
    (gradient_AK,) = torch.autograd.grad(binary_cross_entropy_with_logits(logit_AB, world.labels), first_AK)
    return gradient_AK


@pytest.fixture(scope="module")
def runs():
    """Looks by (ids of the third field, seed), at the paper's 5,000 steps and K = 10."""
    return {(size, seed): run_toy(ToySettings(10, size, seed)) for size in (3, 100) for seed in SEEDS}


def test_a_field_of_three_ids_collapses_the_first_table_and_one_of_a_hundred_does_not(runs):
    start, small, large = (
        fmean(runs[size, seed][place].information_abundance for seed in SEEDS)
        for size, place in ((3, 0), (3, -1), (100, -1))
    )
    assert start == pytest.approx(7.7, abs=0.4)
    assert small == pytest.approx(6.1, abs=0.4)
    assert large == pytest.approx(7.7, abs=0.5)
    for seed in SEEDS:
        assert runs[3, seed][-1].information_abundance < runs[100, seed][-1].information_abundance - 0.3


def test_looks_are_evenly_spaced_and_the_loss_falls(runs):
    for looks in runs.values():
        assert [look.step for look in looks] == list(range(0, 5_001, RECORD_EVERY))
        assert looks[-1].loss < looks[0].loss


def test_a_small_field_pushes_harder_along_its_few_directions(runs):
    for seed in SEEDS:
        first_look = runs[3, seed][0]
        assert len(first_look.third.alpha) == 3
        assert min(first_look.third.alpha) > 3 * max(first_look.second.alpha)
        assert sum(first_look.second.energy) == pytest.approx(1)
        assert sum(first_look.third.energy) < 0.5


@pytest.mark.parametrize("third_size", [3, 100])
@pytest.mark.parametrize("embed_dim", [5, 40])
def test_the_parts_sum_to_autograds_gradient(embed_dim, third_size):
    world = toy_world(ToySettings(embed_dim, third_size, seed=1))
    by_second_AB, by_third_AC = world.residuals(world.first)
    parts_AK = decompose(by_second_AB, world.second).total() + decompose(by_third_AC, world.third).total()
    expected_AK = fm_gradient(world, world.first)
    torch.testing.assert_close(parts_AK, expected_AK, rtol=0, atol=1e-10)
    torch.testing.assert_close(world.gradient(world.first), expected_AK, rtol=0, atol=1e-10)
    assert expected_AK.abs().max() > 1e-4


def test_the_coefficients_know_nothing_of_the_singular_values():
    """With E_1 = E_3 = 0 every logit is 0 whatever E_2 is, so only E_2's spectrum differs between the two worlds."""
    world = toy_world(ToySettings(6, 100, seed=2))
    left_DR, spectrum_R, direction_RK = torch.linalg.svd(world.second, full_matrices=False)
    zeros = torch.zeros_like(world.first)
    alphas = []
    for factor_R in (torch.ones(6), torch.tensor([3.0, 2.0, 1.0, 0.1, 0.01, 0.001])):
        scaled_R = spectrum_R * factor_R
        scaled = replace(world, third=zeros, second=left_DR * scaled_R @ direction_RK)
        by_second_AB, _ = scaled.residuals(zeros)
        part = decompose(by_second_AB, scaled.second)
        torch.testing.assert_close(part.spectrum, scaled_R)
        from_autograd_AR = fm_gradient(scaled, zeros) @ part.directions.T / part.spectrum
        torch.testing.assert_close(part.alpha, from_autograd_AR, rtol=1e-9, atol=1e-12)
        alphas.append(part.alpha.abs())
    torch.testing.assert_close(alphas[0], alphas[1], rtol=1e-9, atol=1e-12)


def test_the_same_seed_is_the_same_run():
    settings = ToySettings(4, 3, seed=3, steps=50)
    assert run_toy(settings) == run_toy(settings)
    assert [look.step for look in run_toy(settings)] == [0, 50]
    assert run_toy(settings) != run_toy(replace(settings, seed=4))
