"""The projection to draw: scikit-learn's PCA is the oracle, and pictures must repeat."""

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Generator, Tensor

from vaebench.evaluation.projection import project


def cloud(count: int, latent_dim: int, seed: int = 0) -> Tensor:
    """A tilted cloud, off the origin, whose axes differ in length."""
    generator = Generator().manual_seed(seed)
    points = torch.randn(count, latent_dim, generator=generator) * torch.linspace(0.1, 3, latent_dim)
    tilt, _ = torch.linalg.qr(torch.randn(latent_dim, latent_dim, generator=generator))
    cloud: Tensor = points @ tilt + 5
    return cloud


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_space_that_can_be_drawn_stays_as_it_is(latent_dim: int) -> None:
    means = cloud(200, latent_dim)
    points, shares, *_ = project(means)
    assert torch.equal(points, means)
    variance = means.double().var(0)
    assert (shares.shape, shares.dtype) == ((latent_dim,), torch.float32)
    assert shares.tolist() == pytest.approx((variance / variance.sum()).tolist(), rel=1e-5)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("count", "latent_dim"), [(500, 4), (500, 10), (300, 30), (20, 64), (3, 5), (600, 512)]
)
def test_projection_is_that_of_scikit_learn(count: int, latent_dim: int) -> None:
    means = cloud(count, latent_dim)
    points, shares, *_ = project(means)
    assert (points.shape, points.dtype) == ((count, 2), torch.float32)
    assert (shares.shape, shares.dtype) == ((2,), torch.float32)
    pca = PCA(n_components=2, svd_solver="full").fit(means.double().numpy())
    expected = torch.from_numpy(pca.transform(means.double().numpy()))
    for axis in range(2):
        sign = torch.sign((points[:, axis].double() * expected[:, axis]).sum())
        torch.testing.assert_close(points[:, axis].double(), sign * expected[:, axis], rtol=1e-4, atol=1e-4)
    assert shares.tolist() == pytest.approx(pca.explained_variance_ratio_.tolist(), rel=1e-4)
    assert shares[0] >= shares[1]


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 4, 30])
def test_points_are_where_centre_and_axes_put_their_latents(latent_dim: int) -> None:
    means = cloud(200, latent_dim)
    points, _, centre, axes = project(means)
    torch.testing.assert_close((means - centre) @ axes, points, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(axes.T @ axes, torch.eye(axes.shape[1]), rtol=0, atol=1e-5)


def test_first_axis_of_a_line() -> None:
    # Along (3, 4, 0, 0) / 5, whose largest component is positive whichever way the data run.
    steps = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    for way in (1, -1):
        means = way * steps[:, None] * torch.tensor([3.0, 4.0, 0.0, 0.0]) + 7
        points, shares, *_ = project(means)
        assert points[:, 0].tolist() == pytest.approx((way * 5 * steps).tolist(), abs=1e-5)
        assert points[:, 1].tolist() == pytest.approx([0.0] * 5, abs=1e-5)
        assert shares.tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_largest_component_of_each_axis_is_positive(seed: int) -> None:
    means = cloud(300, 6, seed).double()
    points = project(means).points.double()
    axes = (means - means.mean(0)).T @ points  # each is as long as its points scatter
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    assert torch.all(largest > 0)


@pytest.mark.parametrize("latent_dim", [4, 30])
def test_signs_follow_from_the_axes_alone(latent_dim: int) -> None:
    means = cloud(300, latent_dim)
    points, *_ = project(means)
    torch.testing.assert_close(project(-means).points, -points, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(project(means.flip(0)).points, points.flip(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("latent_dim", [4, 30])
def test_place_of_the_cloud_does_not_matter(latent_dim: int) -> None:
    means = cloud(300, latent_dim)
    torch.testing.assert_close(project(means + 10).points, project(means).points, rtol=1e-3, atol=1e-3)
    assert project(means).points.double().mean(0).tolist() == pytest.approx([0, 0], abs=1e-5)


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 4, 30])
@pytest.mark.parametrize("count", [1, 7])
def test_posterior_that_has_collapsed(count: int, latent_dim: int) -> None:
    points, shares, *_ = project(torch.full((count, latent_dim), 0.25))
    assert torch.all(points.isfinite())
    assert shares.tolist() == [0.0] * len(shares)


@pytest.mark.usefixtures("global_rng_untouched")
def test_number_of_threads_changes_nothing() -> None:
    means = cloud(10_000, 30)
    before, results = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            points, shares, *_ = project(means)
            results.add((points.numpy().tobytes(), shares.numpy().tobytes()))
    finally:
        torch.set_num_threads(before)
    assert len(results) == 1
