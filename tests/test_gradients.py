"""The gradient of a batch: plain autograd is the oracle, and the number of workers changes no bit."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Generator, Tensor, nn

from vaebench.data.dataset import Dataset
from vaebench.device import Precision, Workers
from vaebench.models.losses import Terms
from vaebench.models.vae import VAE, build_vae
from vaebench.objectives.elbo import elbo
from vaebench.training.gradients import FINITE_CHECK, LEAST, MICRO_BATCH, SLOTS, BatchGradients, epoch_means

# One image; fewer than, just and more than a whole micro-batch; more than one for some slots, and for each.
EVERY_SLOT = SLOTS * MICRO_BATCH
SIZES = [1, MICRO_BATCH - 1, MICRO_BATCH, MICRO_BATCH + 1, 100, EVERY_SLOT + 45, 2 * EVERY_SLOT + 45]

BuildVAE = Callable[[int, int], VAE]


@pytest.fixture
def double_vae(tiny_vae: BuildVAE) -> VAE:
    return tiny_vae(3, 1).double()


def batch(digits: Dataset, size: int, latent_dim: int, offset: int = 0) -> tuple[Tensor, Tensor]:
    noise = torch.randn(size, latent_dim, generator=Generator().manual_seed(size))
    return digits.train.images[torch.arange(offset, offset + size) % len(digits.train)], noise


def double_batch(digits: Dataset, size: int, offset: int = 0) -> tuple[Tensor, Tensor]:
    images, noise = batch(digits, size, 3, offset)
    return images.double(), noise.double()


def plain(model: VAE, images: Tensor, noise: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the gradients of the mean loss and the summed terms, of one eager pass over the batch."""
    loss, measured = elbo(model, images, noise)
    gradients = torch.autograd.grad(loss.mean(), list(model.parameters()))
    return list(gradients), torch.cat([loss[:, None], measured], dim=1).detach().sum(0)


def taken(model: nn.Module) -> list[Tensor]:
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(gradients) == len(list(model.parameters()))
    return gradients


def bits(*tensors: Tensor) -> tuple[bytes, ...]:
    return tuple(tensor.contiguous().numpy().tobytes() for tensor in tensors)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_the_mean_loss(
    double_vae: VAE, digits: Dataset, workers: Workers, size: int
) -> None:
    images, noise = double_batch(digits, size)
    expected, expected_sums = plain(double_vae, images, noise)
    sums = BatchGradients(double_vae, elbo, workers)(images, noise)
    assert sums.shape == (3,)
    assert not sums.requires_grad
    torch.testing.assert_close(sums, expected_sums, rtol=1e-12, atol=0)
    for gradient, other in zip(taken(double_vae), expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-12)


def test_gradients_of_the_reports_network(digits: Dataset, workers: Workers) -> None:
    vae = build_vae(2, seed=1)
    precise = VAE(2).double()  # and in PyTorch's ordinary layout
    precise.load_state_dict(vae.state_dict())
    images, noise = batch(digits, 2 * MICRO_BATCH + 6, 2)
    expected, expected_sums = plain(precise, images.double(), noise.double())
    sums = BatchGradients(vae, elbo, workers)(images, noise)
    torch.testing.assert_close(sums.double(), expected_sums, rtol=1e-4, atol=0)
    for gradient, other in zip(taken(vae), expected, strict=True):
        assert float((gradient - other).norm() / other.norm()) < 1e-4


def test_number_of_workers_changes_no_bit(digits: Dataset, crews: list[Workers]) -> None:
    images, noise = batch(digits, EVERY_SLOT + 45, 2)
    results = set()
    for workers in crews:
        vae = build_vae(2, seed=1)
        sums = BatchGradients(vae, elbo, workers)(images, noise)
        results.add(bits(sums, *taken(vae)))
    assert len(results) == 1


# Mixed precision, whatever this processor can: it is slow on some, and the same.


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16 natively, as PyTorch says it."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


def relative_errors(gradients: list[Tensor], expected: list[Tensor]) -> list[float]:
    pairs = zip(gradients, expected, strict=True)
    return [float((gradient - other).norm() / other.norm()) for gradient, other in pairs]


@pytest.mark.usefixtures("native")
def test_in_mixed_precision_gradients_are_coarser_and_no_more(digits: Dataset) -> None:
    images, noise = batch(digits, 2 * MICRO_BATCH + 6, 2)
    precise = build_vae(2, seed=1)
    expected, expected_sums = plain(precise, images, noise)
    vae = build_vae(2, seed=1)
    workers = Workers(torch.device("cpu"), threads=2, precision="mixed")
    sums = BatchGradients(vae, elbo, workers)(images, noise)
    assert sums.dtype == torch.float32
    torch.testing.assert_close(sums, expected_sums, rtol=5e-3, atol=0)
    assert all(gradient.dtype == torch.float32 for gradient in taken(vae))
    errors = relative_errors(taken(vae), expected)
    assert 1e-4 < max(errors) < 0.1  # bfloat16 rounds by up to 1/256


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(("precision", "dtype"), [("mixed", torch.bfloat16), ("float32", torch.float32)])
def test_terms_are_computed_in_the_workers_precision(
    digits: Dataset, tiny_vae: BuildVAE, precision: Precision, dtype: torch.dtype
) -> None:
    dtypes = []

    def terms(model: VAE, images: Tensor, noise: Tensor) -> Terms:
        dtypes.append(model.encoder(images).mean.dtype)
        return elbo(model, images, noise)

    workers = Workers(torch.device("cpu"), threads=2, precision=precision)
    BatchGradients(tiny_vae(2, 0), terms, workers)(*batch(digits, 3 * MICRO_BATCH, 2))
    assert dtypes == [dtype] * 3
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.slow
@pytest.mark.usefixtures("native")
def test_number_of_workers_changes_no_bit_in_mixed_precision(digits: Dataset) -> None:
    images, noise = batch(digits, EVERY_SLOT + 45, 2)
    results = set()
    for threads in (1, 2, 3):
        vae = build_vae(2, seed=1)
        workers = Workers(torch.device("cpu"), threads, precision="mixed")
        sums = BatchGradients(vae, elbo, workers)(images, noise)
        results.add(bits(sums, *taken(vae)))
    assert len(results) == 1


# Batches and slots.


def test_accelerator_takes_the_batch_whole(double_vae: VAE, digits: Dataset) -> None:
    images, noise = double_batch(digits, 100)
    expected, expected_sums = plain(double_vae, images, noise)
    sizes = []

    def terms(model: VAE, images: Tensor, noise: Tensor) -> Terms:
        sizes.append(len(images))
        return elbo(model, images, noise)

    accelerated = Workers(torch.device("mps"))  # stands for any device that is not the CPU
    gradients = BatchGradients(double_vae, terms, accelerated)
    for _ in range(2):  # nothing is left over from the batch before
        torch.testing.assert_close(gradients(images, noise), expected_sums)
        for gradient, other in zip(taken(double_vae), expected, strict=True):
            torch.testing.assert_close(gradient, other)
    assert sizes == [100, 100]


def test_batches_do_not_add_up(double_vae: VAE, digits: Dataset, workers: Workers) -> None:
    gradients = BatchGradients(double_vae, elbo, workers)
    gradients(*double_batch(digits, EVERY_SLOT))
    for size in (MICRO_BATCH + 1, EVERY_SLOT, 1):  # these use fewer slots, all, and one
        small = double_batch(digits, size, offset=300)
        expected, expected_sums = plain(double_vae, *small)
        torch.testing.assert_close(gradients(*small), expected_sums)
        for gradient, other in zip(taken(double_vae), expected, strict=True):
            torch.testing.assert_close(gradient, other)


def test_later_weights_are_seen(double_vae: VAE, digits: Dataset, workers: Workers) -> None:
    gradients = BatchGradients(double_vae, elbo, workers)
    images, noise = double_batch(digits, 100)
    for _ in range(2):
        gradients(images, noise)
        with torch.no_grad():
            for parameter, gradient in zip(double_vae.parameters(), taken(double_vae), strict=True):
                parameter.sub_(0.01 * gradient)  # a step as an optimizer makes it, in place
        expected, expected_sums = plain(double_vae, images, noise)
        torch.testing.assert_close(gradients(images, noise), expected_sums)
        for gradient, other in zip(taken(double_vae), expected, strict=True):
            torch.testing.assert_close(gradient, other)


@pytest.mark.usefixtures("global_rng_untouched")
def test_weights_and_batch_stay(double_vae: VAE, digits: Dataset, workers: Workers) -> None:
    before = bits(*double_vae.state_dict().values())
    images, noise = double_batch(digits, 100)
    given = bits(images, noise)
    BatchGradients(double_vae, elbo, workers)(images, noise)
    assert bits(*double_vae.state_dict().values()) == before
    assert bits(images, noise) == given


def test_gradients_lie_in_memory_as_the_weights_do(digits: Dataset, workers: Workers) -> None:
    # The fused optimizers walk through both side by side.
    vae = build_vae(2, seed=1)
    BatchGradients(vae, elbo, workers)(*batch(digits, 2 * MICRO_BATCH + 6, 2))
    for parameter, gradient in zip(vae.parameters(), taken(vae), strict=True):
        assert gradient.stride() == parameter.stride()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, [1]),
        (LEAST, [LEAST]),
        (LEAST + 1, [8, 9]),  # two cores have work
        (32, [16, 16]),
        (MICRO_BATCH, [32, 32]),
        (MICRO_BATCH + 1, [1, MICRO_BATCH]),
        (2 * MICRO_BATCH, [MICRO_BATCH] * 2),
        (3 * MICRO_BATCH + 5, [5, *[MICRO_BATCH] * 3]),
    ],
)
def test_micro_batches_are_small_and_keep_two_cores_busy(
    double_vae: VAE, digits: Dataset, workers: Workers, size: int, expected: list[int]
) -> None:
    sizes = []

    def terms(model: VAE, images: Tensor, noise: Tensor) -> Terms:
        sizes.append(len(images))
        return elbo(model, images, noise)

    BatchGradients(double_vae, terms, workers)(*double_batch(digits, size))
    assert sorted(sizes) == expected


def test_error_in_a_worker_comes_back(double_vae: VAE, digits: Dataset, workers: Workers) -> None:
    def fail(model: VAE, images: Tensor, noise: Tensor) -> Terms:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        BatchGradients(double_vae, fail, workers)(*double_batch(digits, 100))


# Epoch means.


def test_mean_is_over_images_not_batches() -> None:
    # Four images of losses 1 and 2, and a last batch of one image of losses 11 and 7.
    sums = [torch.tensor([4.0, 8.0]), torch.tensor([11.0, 7.0])]
    means = epoch_means(sums, count=5, epoch=1)
    assert means.tolist() == [3.0, 3.0]
    assert means.dtype == torch.float64


def test_many_batches_are_summed_in_double_precision() -> None:
    # In float32, 2²⁴ + 1 is 2²⁴.
    sums = [torch.tensor([2.0**24]), *(torch.tensor([1.0]) for _ in range(1000))]
    assert epoch_means(sums, count=1, epoch=1).tolist() == [2.0**24 + 1000]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("step", [0, 1, FINITE_CHECK - 1, FINITE_CHECK, FINITE_CHECK + 1, 49])
@pytest.mark.parametrize("term", [0, 1])
def test_loss_that_is_not_finite_ends_the_epoch(bad: float, step: int, term: int) -> None:
    asked = []

    def batch_sums() -> Iterator[Tensor]:
        for number in range(50):
            asked.append(number)
            terms = torch.ones(2)
            terms[term] = bad if number >= step else 1.0
            yield terms

    with pytest.raises(FloatingPointError, match=r"^the loss is NaN or infinite in epoch 7$"):
        epoch_means(batch_sums(), count=50, epoch=7)
    assert asked[-1] <= step + FINITE_CHECK  # and at once where it is the first


def test_single_bad_batch_is_found() -> None:
    sums = [torch.ones(2) for _ in range(50)]
    sums[33] = torch.tensor([1.0, float("nan")])
    with pytest.raises(FloatingPointError, match="epoch 2"):
        epoch_means(sums, count=50, epoch=2)


def test_infinities_of_both_signs_do_not_cancel() -> None:
    with pytest.raises(FloatingPointError, match="epoch 1"):
        epoch_means([torch.tensor([float("inf"), float("-inf")])], count=1, epoch=1)


def test_first_batch_is_looked_at_before_the_weights_move() -> None:
    def batch_sums() -> Iterator[Tensor]:
        yield torch.tensor([float("nan")])
        raise AssertionError("the optimizer has made its step")

    with pytest.raises(FloatingPointError, match="epoch 1"):
        epoch_means(batch_sums(), count=1, epoch=1)
