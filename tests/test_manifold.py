"""Precision, recall, density, coverage: `prdc`, scikit-learn's neighbours, pictures small enough to count."""

import math

import numpy as np
import pytest
import torch
from prdc import compute_prdc  # type: ignore[import-untyped]
from sklearn.neighbors import NearestNeighbors
from torch import Generator, Tensor

from vaebench.evaluation import manifold as module
from vaebench.evaluation.manifold import Manifold, manifold

FEATURES = 16
SCORES = Manifold._fields


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def points(count: int, seed: int = 0, spread: float = 1.0, mean: float = 0.0) -> Tensor:
    """Features at least 0 as a classifier's are, some of them never on."""
    found = (spread * torch.randn(count, FEATURES, generator=seeded(seed)) + mean).relu()
    found[:, -3:] = 0
    return found


def means(found: Manifold) -> dict[str, float]:
    return {name: float(getattr(found, name).mean()) for name in SCORES}


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


# Oracles.


@pytest.mark.parametrize("neighbours", [1, 5])
@pytest.mark.parametrize("counts", [(300, 77), (77, 300), (7, 7)])
@pytest.mark.parametrize("kind", ["other", "spread", "shifted", "shared", "copied"])
def test_scores_are_those_of_prdc(kind: str, counts: tuple[int, int], neighbours: int) -> None:
    real = points(counts[0], 1)
    made = {
        "other": lambda: points(counts[1], 2),
        "spread": lambda: points(counts[1], 2, spread=1.5),
        "shifted": lambda: points(counts[1], 2, mean=0.5),
        # Some of them are real images: at distance 0, and at exactly the radius of others.
        "shared": lambda: torch.cat([real, points(counts[1], 2)])[: counts[1]],
        # Images with a copy in their own set.
        "copied": lambda: points(counts[1], 2)[torch.arange(counts[1]) // 2],
    }[kind]()
    found = means(manifold(real, made, neighbours))
    expected = compute_prdc(real.numpy(), made.numpy(), neighbours)
    for name in SCORES:
        assert found[name] == pytest.approx(float(expected[name]), rel=1e-12), name


def test_terms_are_those_of_scikit_learns_neighbours() -> None:
    neighbours = 4
    real, made = points(200, 1), points(150, 2, spread=1.3)
    search = NearestNeighbors(algorithm="brute")
    radii = [
        torch.from_numpy(search.fit(some).kneighbors(n_neighbors=neighbours)[0][:, -1])
        for some in (real.double().numpy(), made.double().numpy())
    ]
    apart = torch.cdist(real.double(), made.double(), compute_mode="donot_use_mm_for_euclid_dist")
    inside = apart < radii[0][:, None]
    found = manifold(real, made, neighbours)
    assert torch.equal(found.precision, inside.any(0).double())
    assert torch.equal(found.density, inside.sum(0).double() / neighbours)
    assert torch.equal(found.coverage, inside.any(1).double())
    assert torch.equal(found.recall, (apart < radii[1]).any(1).double())


# Pictures.


def test_points_on_a_line() -> None:
    real = column(0, 1, 3, 7)  # radii to the nearest: 1, 1, 2, 4
    made = column(2, 2.5, 20, 10)  # radii: 0.5, 0.5, 10, 7.5
    found = manifold(real, made, neighbours=1)
    # 2 is in 3's ball alone, at exactly 1's radius; 10 in 7's alone.
    assert found.density.tolist() == [1, 1, 0, 1]
    assert found.precision.tolist() == [1, 1, 0, 1]
    assert found.coverage.tolist() == [0, 0, 1, 1]
    # 3 is at exactly 2.5's radius, but in 10's ball with 7; 0 and 1 are in none.
    assert found.recall.tolist() == [0, 0, 1, 1]


def test_scores_are_float64_terms_of_each_image() -> None:
    found = manifold(points(30, 1), points(20, 2))
    assert [getattr(found, name).shape[0] for name in SCORES] == [20, 30, 20, 30]
    assert {getattr(found, name).dtype for name in SCORES} == {torch.float64}
    for name in ("precision", "recall", "coverage"):
        assert set(getattr(found, name).tolist()) <= {0, 1}


@pytest.mark.parametrize("neighbours", [1, 5, 19])
def test_set_against_itself_scores_one(neighbours: int) -> None:
    # The density too: the image itself and the k − 1 that are nearer than the k-th.
    for real in (points(20, 1), points(200, 2) * 1e-3, points(300, 3) * 1e6):
        assert means(manifold(real, real.clone(), neighbours)) == pytest.approx(dict.fromkeys(SCORES, 1.0))


def test_other_images_of_one_distribution_score_about_one() -> None:
    found = means(manifold(points(1000, 1), points(1000, 2)))
    assert found["density"] == pytest.approx(1, abs=0.1)
    assert found["coverage"] == pytest.approx(
        1 - 0.5**5, abs=0.05
    )  # Naeem et al., eq. 11, for as many images


def test_disjoint_sets_score_zero() -> None:
    assert means(manifold(points(100, 1), points(100, 2) + 100)) == dict.fromkeys(SCORES, 0.0)


def test_dropped_modes_lower_recall_and_coverage_alone() -> None:
    centres = 20 * torch.eye(FEATURES)[:10]
    real = (centres.repeat(40, 1) + points(400, 1)).relu()
    made = (centres.repeat(40, 1) + points(400, 2)).relu()
    kept = torch.arange(400) % 10 < 3
    whole, part = manifold(real, made), manifold(real, made[kept])
    for name in ("recall", "coverage"):
        assert means(part)[name] == pytest.approx(0.3 * means(whole)[name], abs=0.05)
    # Of the images that are left, each lies where it did.
    assert torch.equal(part.precision, whole.precision[kept])
    assert torch.equal(part.density, whole.density[kept])


def test_images_off_the_manifold_lower_precision_and_density() -> None:
    real, made = points(300, 1), points(300, 2)
    mixed = torch.where(torch.arange(300)[:, None] % 2 == 0, made, made + 50)
    found, whole = means(manifold(real, mixed)), means(manifold(real, made))
    for name in ("precision", "density"):
        assert found[name] == pytest.approx(whole[name] / 2, abs=0.1)


def test_outlier_raises_precision_but_hardly_density() -> None:
    # Naeem et al., section 3.1: what the density is for.
    real = torch.cat([points(299, 1), torch.full((1, FEATURES), 30.0)])
    made = points(300, 2) + 8  # between the digits and the outlier
    found = means(manifold(real, made))
    assert found["precision"] == 1
    assert found["density"] == pytest.approx(1 / 5)


# Equal images.


def test_generator_that_collapsed_to_a_real_image() -> None:
    real = points(100, 1)
    found = manifold(real, real[:1].expand(80, -1))
    assert found.precision.tolist() == [1] * 80
    assert len(set(found.density.tolist())) == 1
    assert found.recall.sum() == 0  # its balls are empty
    assert 1 <= found.coverage.sum() <= 20


def test_generator_that_collapsed_to_something_else() -> None:
    found = means(manifold(points(100, 1), torch.full((80, FEATURES), 9.0)))
    assert found == dict.fromkeys(SCORES, 0.0)


@pytest.mark.parametrize(("copies", "inside"), [(5, 1.0), (6, 0.0)])
def test_ball_of_an_image_with_k_copies_is_empty(copies: int, inside: float) -> None:
    # 5 equal images, 4 copies each: the 5th neighbour is another image. With 5 copies it is one of them.
    real = points(40, 1).repeat_interleave(copies, 0)
    assert means(manifold(real, real.clone())) == pytest.approx(dict.fromkeys(SCORES, inside))


def test_all_images_are_one() -> None:
    same = torch.zeros(30, FEATURES)
    assert means(manifold(same, same)) == dict.fromkeys(SCORES, 0.0)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_ties_are_ties_wherever_they_are_computed(offset: float) -> None:
    # Each radius is the distance to an image that the other set has too. If rounding told them apart, some
    # would be inside.
    real = points(200, 1) + offset
    nearest = torch.cdist(real.double(), real.double(), compute_mode="donot_use_mm_for_euclid_dist")
    partner = nearest.fill_diagonal_(math.inf).argmin(1)
    for image in range(0, 200, 10):
        made = torch.cat([real[partner[image]][None], points(3, 2) + offset + 100])
        found = manifold(torch.cat([real[image][None], real[partner[image]][None]]), made, neighbours=1)
        assert found.coverage.tolist() == [0, 1]


# Invariances.


@pytest.mark.parametrize("rows", [1, 7, 64, 199, 1000])
def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    real, made = points(200, 1), points(130, 2)
    expected = manifold(real, made)
    monkeypatch.setattr(module, "ROWS", rows)
    for one, other in zip(manifold(real, made), expected, strict=True):
        assert torch.equal(one, other)


def test_order_of_the_images_does_not_matter() -> None:
    real, made = points(200, 1), points(130, 2)
    rows, columns = (torch.randperm(count, generator=seeded()) for count in (200, 130))
    expected, found = manifold(real, made), manifold(real[rows], made[columns])
    assert torch.equal(found.precision, expected.precision[columns])
    assert torch.equal(found.density, expected.density[columns])
    assert torch.equal(found.recall, expected.recall[rows])
    assert torch.equal(found.coverage, expected.coverage[rows])


def test_number_of_threads_changes_nothing() -> None:
    real, made = points(500, 1), points(400, 2)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(manifold(real, made))
    finally:
        torch.set_num_threads(before)
    for found in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found, results[0], strict=True))


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 3.0, 1e20])
def test_scale_of_the_features_does_not_matter(scale: float) -> None:
    real, made = points(200, 1).double(), points(130, 2).double()
    for one, other in zip(manifold(scale * real, scale * made), manifold(real, made), strict=True):
        assert torch.equal(one, other)


def test_roles_swap() -> None:
    real, made = points(200, 1), points(130, 2, spread=1.2)
    assert torch.equal(manifold(real, made).recall, manifold(made, real).precision)


@pytest.mark.parametrize("features", [1, 2, 3, 128, 129, 784])
def test_grid_is_fine_and_its_sums_exact(features: int) -> None:
    # The worst case: opposite corners, whose squared distance is the largest. In integers, of any size.
    far = torch.full((1, features), 0.9999)
    one, other = module._on_grid(far, -far)
    (squared,) = module._squared_distances(one, other)
    exact = sum((int(x) - int(y)) ** 2 for x, y in zip(one[0].tolist(), other[0].tolist(), strict=True))
    assert exact <= 2**53
    assert int(squared) == exact
    some = torch.randn(50, features, generator=seeded())
    on_grid, _ = module._on_grid(some, some)
    scale = float(on_grid.abs().max() / some.abs().max())
    assert np.abs(on_grid.numpy() / scale - some.double().numpy()).max() <= float(some.abs().max()) * 2**-19


# Errors.


@pytest.mark.parametrize("counts", [(5, 100), (100, 5), (0, 100), (1, 1)])
def test_too_few_images(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"5 neighbours .* got {counts[0]} and {counts[1]}"):
        manifold(points(counts[0]), points(counts[1]))
    if min(counts):
        manifold(points(6), points(6))


@pytest.mark.usefixtures("global_rng_untouched")
def test_nothing_is_drawn_and_features_stay_as_they_are() -> None:
    real, made = points(100, 1).double(), points(100, 2).double()  # of the type it computes in
    before = real.clone(), made.clone()
    manifold(real, made)
    assert torch.equal(real, before[0])
    assert torch.equal(made, before[1])
