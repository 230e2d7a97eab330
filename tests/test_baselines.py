"""Principal components and noise, against scikit-learn and SciPy."""

import numpy as np
import pytest
import torch
from scipy import stats  # type: ignore[import-untyped]
from sklearn.decomposition import PCA
from torch import Generator

from vaebench.data.dataset import Dataset
from vaebench.evaluation.baselines import ROUNDING, PrincipalComponents, pixel_noise


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.slow
@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("components", [1, 2, 30])
def test_components_are_those_of_scikit_learn(digits: Dataset, components: int) -> None:
    images, test = digits.train.images, digits.test.images
    pca = PrincipalComponents(images, components)
    flat, flat_test = (each.flatten(1).double().numpy() for each in (images, test))
    oracle = PCA(components, whiten=True, svd_solver="full").fit(flat)
    latents = pca.encode(test)
    assert np.abs(latents.numpy()) == pytest.approx(np.abs(oracle.transform(flat_test)), abs=1e-4)
    # Whatever their signs, the images are the same.
    expected = oracle.inverse_transform(oracle.transform(flat_test)).clip(0, 1)
    assert pca.decode(latents).flatten(1).numpy() == pytest.approx(expected, abs=1e-4)
    plain = PCA(components, svd_solver="full").fit(flat)  # whitened, scikit-learn's likelihood is another
    found = pca.negative_log_likelihood(test).numpy()
    assert found == pytest.approx(-plain.score_samples(flat_test), rel=1e-6)


def test_likelihood_is_that_of_the_gaussian(digits: Dataset) -> None:
    """Of the samples, with as much noise as was left out: their density in SciPy's words."""
    pca = PrincipalComponents(digits.train.images, 5)
    axes, variances = pca._axes, pca._variances
    covariance = axes.T @ (variances - pca._noise).diag() @ axes + pca._noise * torch.eye(784)
    gaussian = stats.multivariate_normal(pca._mean.numpy(), covariance.numpy())
    test = digits.test.images[:20]
    expected = -gaussian.logpdf(test.flatten(1).double().numpy())
    assert pca.negative_log_likelihood(test).numpy() == pytest.approx(expected, rel=1e-8)


def test_training_latents_have_the_priors_moments(digits: Dataset) -> None:
    latents = PrincipalComponents(digits.train.images, 8).encode(digits.train.images).double()
    assert latents.mean(0).tolist() == pytest.approx([0] * 8, abs=1e-5)
    torch.testing.assert_close(latents.T.cov(), torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-4)


def test_more_components_lose_less(digits: Dataset) -> None:
    errors = []
    for components in (1, 4, 16, 60):
        pca = PrincipalComponents(digits.train.images, components)
        errors.append(
            (pca.decode(pca.encode(digits.test.images)) - digits.test.images).square().mean().item()
        )
    assert errors == sorted(errors, reverse=True)


def test_more_components_than_the_images_have_directions(digits: Dataset) -> None:
    """These digits are enlarged from 8×8: 64 directions and no more, where densities would be infinite."""
    pca = PrincipalComponents(digits.train.images, 100)
    assert pca._noise == ROUNDING
    for tensor in (pca.encode(digits.test.images), pca.negative_log_likelihood(digits.test.images)):
        assert tensor.isfinite().all()
    reconstructions = pca.decode(pca.encode(digits.test.images))
    torch.testing.assert_close(reconstructions, digits.test.images, rtol=0, atol=0.01)  # 1 is 255 greys


def test_images_are_in_range_far_from_the_data(digits: Dataset) -> None:
    images = PrincipalComponents(digits.train.images, 3).decode(torch.full((2, 3), 50.0))
    assert images.shape == (2, 1, 28, 28)
    assert 0 <= images.min() < images.max() <= 1


@pytest.mark.usefixtures("global_rng_untouched")
def test_noise_is_uniform_and_independent() -> None:
    noise = pixel_noise(200, seeded())
    assert (noise.shape, noise.dtype) == ((200, 1, 28, 28), torch.float32)
    assert stats.kstest(noise.flatten()[:5000].numpy(), "uniform").pvalue > 0.01
    pixels = noise.flatten(1).double()
    neighbours = np.corrcoef(pixels[:, :-1].flatten().numpy(), pixels[:, 1:].flatten().numpy())[0, 1]
    assert abs(neighbours) < 0.01
    assert torch.equal(noise, pixel_noise(200, seeded()))
