"""Training a VAE: a textbook loop is the oracle; precision, seeds, ragged batches, whose losses they are."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor
from torch.optim.lr_scheduler import OneCycleLR

from textbook import TextbookVAE, textbook_loss
from vaebench.data.dataset import Dataset
from vaebench.device import Workers
from vaebench.models.losses import Losses, loss_terms, mean_losses
from vaebench.models.objective import load_objective
from vaebench.models.vae import VAE, build_vae, load_vae, save_vae
from vaebench.training import train_vae as training
from vaebench.training.optimizers import WARM_UP, WEIGHT_DECAY, OptimizerName
from vaebench.training.train_vae import Epoch, train_vae

ELBO = load_objective("elbo")
MEAN = "encoder.1.mean.weight"  # a parameter of the tiny VAE
TRAIN, TEST, BATCH, EPOCHS, SEED, RATE = 230, 60, 64, 2, 11, 1e-3  # the last batch holds 38 images

BuildVAE = Callable[[int, int], VAE]
AsTextbook = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Run:
    """What a training left."""

    vae: VAE
    epochs: list[Epoch]

    @property
    def test_losses(self) -> list[Losses]:
        return [epoch.test for epoch in self.epochs if epoch.test]

    @property
    def losses(self) -> list[tuple[Losses, Losses]]:
        trained = [epoch.train for epoch in self.epochs]
        return list(zip(trained, self.test_losses, strict=True))

    def weights(self, folder: Path) -> bytes:
        save_vae(folder / "vae.safetensors", self.vae)
        return (folder / "vae.safetensors").read_bytes()


def train(
    vae: VAE,
    train_images: Tensor,
    test_images: Tensor,
    workers: Workers,
    *,
    epochs: int = EPOCHS,
    batch_size: int = BATCH,
    optimizer: OptimizerName = "adam",
    learning_rate: float = RATE,
    seed: int = SEED,
) -> Run:
    trained = train_vae(
        vae,
        train_images,
        test_images,
        objective=ELBO,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        seed=seed,
        workers=workers,
    )
    return Run(vae, list(trained))


def three_epochs(vae: VAE, train_images: Tensor, test_images: Tensor, workers: Workers) -> Iterator[Epoch]:
    """Prepare a training of which each epoch has still to be asked for."""
    return train_vae(
        vae,
        train_images,
        test_images,
        objective=ELBO,
        epochs=3,
        batch_size=BATCH,
        optimizer="adam",
        learning_rate=RATE,
        seed=SEED,
        workers=workers,
    )


@pytest.fixture(scope="module")
def train_images(digits: Dataset) -> Tensor:
    return digits.train.images[:TRAIN]


@pytest.fixture(scope="module")
def test_images(digits: Dataset) -> Tensor:
    return digits.test.images[:TEST]


@pytest.fixture(scope="module")
def run(train_images: Tensor, test_images: Tensor, workers: Workers) -> Run:
    """The report's network after two short epochs."""
    return train(build_vae(2, seed=SEED), train_images, test_images, workers)


# The oracle.


def textbook_vae(latent_dim: int, seed: int, as_textbook: AsTextbook) -> TextbookVAE:
    """The plain network with the initial weights that `build_vae` draws."""
    vae = TextbookVAE(latent_dim)
    vae.load_state_dict(as_textbook(build_vae(latent_dim, seed).state_dict()))
    return vae


def plain_losses(
    vae: TextbookVAE,
    train_images: Tensor,
    test_images: Tensor,
    *,
    epochs: int = EPOCHS,
    batch_size: int = BATCH,
    learning_rate: float = RATE,
    seed: int = SEED,
) -> list[tuple[float, float]]:
    """Each epoch's combined loss on training and on test images, of a loop as it stands in textbooks."""
    optimizer = torch.optim.Adam(vae.parameters(), lr=learning_rate)
    generator = Generator().manual_seed(seed)
    count, latent_dim = len(train_images), vae.mean.out_features
    found = []
    for _ in range(epochs):
        order = torch.randperm(count, generator=generator)
        noise = torch.randn(count, latent_dim, generator=generator).to(train_images.dtype)
        total = 0.0
        for start in range(0, count, batch_size):
            images, z = train_images[order[start : start + batch_size]], noise[start : start + batch_size]
            loss = textbook_loss(images, *vae(images, z))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(images)
        with torch.no_grad():
            test_noise = torch.randn(len(test_images), latent_dim, generator=Generator().manual_seed(seed))
            test_loss = textbook_loss(test_images, *vae(test_images, test_noise.to(test_images.dtype)))
        found.append((total / count, test_loss.item()))
    return found


def combined(run: Run) -> list[tuple[float, float]]:
    return [(train.combined_loss, test.combined_loss) for train, test in run.losses]


def test_textbook_loop_gives_the_same_losses(
    run: Run, train_images: Tensor, test_images: Tensor, as_textbook: AsTextbook
) -> None:
    expected = plain_losses(textbook_vae(2, SEED, as_textbook), train_images, test_images)
    for found, losses in zip(combined(run), expected, strict=True):
        assert found == pytest.approx(losses, rel=1e-4)


def test_in_double_precision_the_textbook_loop_differs_by_rounding(
    train_images: Tensor, test_images: Tensor, workers: Workers, as_textbook: AsTextbook
) -> None:
    images = train_images.double(), test_images.double()
    expected = plain_losses(textbook_vae(2, SEED, as_textbook).double(), *images)
    precise = train(build_vae(2, seed=SEED).double(), *images, workers)
    for found, losses in zip(combined(precise), expected, strict=True):
        assert found == pytest.approx(losses, rel=1e-9)


def test_each_loss_is_that_of_its_batches(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    images = train_images.double(), test_images.double()
    found = train(tiny_vae(2, 0).double(), *images, workers)
    vae = tiny_vae(2, 0).double()
    compare_with_a_loop(found, vae, torch.optim.Adam(vae.parameters(), lr=RATE), None, BATCH, *images)


def test_muon_moves_linear_layers_by_adamw_on_a_one_cycle_schedule(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    images = train_images.double(), test_images.double()
    found = train(tiny_vae(2, 0).double(), *images, workers, batch_size=16, optimizer="muon")
    vae = tiny_vae(2, 0).double()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = OneCycleLR(
        optimizer,
        max_lr=RATE,
        total_steps=EPOCHS * math.ceil(TRAIN / 16) + 1,
        pct_start=WARM_UP,
        anneal_strategy="linear",
        cycle_momentum=False,
    )
    compare_with_a_loop(found, vae, optimizer, schedule, 16, *images)


def compare_with_a_loop(
    run: Run,
    vae: VAE,
    optimizer: torch.optim.Optimizer,
    schedule: OneCycleLR | None,
    batch_size: int,
    train_images: Tensor,
    test_images: Tensor,
) -> None:
    """Train `vae` in a plain loop; compare both losses of every epoch, and the weights at the end."""
    generator = Generator().manual_seed(SEED)
    for epoch in run.epochs:
        order = torch.randperm(TRAIN, generator=generator)
        noise = torch.randn(TRAIN, 2, generator=generator).double()
        losses = []
        for start in range(0, TRAIN, batch_size):
            images, z = train_images[order[start : start + batch_size]], noise[start : start + batch_size]
            terms = loss_terms(vae, images, z)
            optimizer.zero_grad()
            terms.sum(1).mean().backward()
            optimizer.step()
            if schedule:
                schedule.step()
            losses.append(terms.detach())
        with torch.no_grad():
            test_noise = torch.randn(TEST, 2, generator=Generator().manual_seed(SEED)).double()
            test_terms = loss_terms(vae, test_images, test_noise)
        assert epoch.train == pytest.approx(torch.cat(losses).mean(0).tolist(), rel=1e-9)
        assert epoch.test == pytest.approx(test_terms.mean(0).tolist(), rel=1e-9)
    for weight, expected in zip(run.vae.parameters(), vae.parameters(), strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-7, atol=1e-10)


# Mixed precision.


@pytest.fixture(scope="module")
def mixed() -> Workers:
    """Two workers that multiply in bfloat16."""
    workers = Workers(torch.device("cpu"), threads=2, precision="mixed")
    if workers.dtype == torch.float32:
        pytest.skip("this processor does not multiply bfloat16 natively: mixed precision is float32 here")
    return workers


def test_fast_path_stays_within_a_quarter_of_the_spread_between_seeds(
    digits: Dataset, mixed: Workers, as_textbook: AsTextbook
) -> None:
    # The first is the fast path as the benchmark takes it, and the second has nothing of it: other layers,
    # one pass a batch, float32, PyTorch's Adam. Weights, order and noise differ between the seeds.
    train_images, test_images = digits.train.images[:480], digits.test.images[:100]
    fast, plain = [], []
    for seed in range(3):
        trained = train(build_vae(2, seed), train_images, test_images, mixed, epochs=3, seed=seed)
        fast.append(combined(trained)[-1])
        vae = textbook_vae(2, seed, as_textbook)
        plain.append(plain_losses(vae, train_images, test_images, epochs=3, seed=seed)[-1])
    for of_fast, of_plain in zip(zip(*fast, strict=True), zip(*plain, strict=True), strict=True):
        spread = max(of_plain) - min(of_plain)
        differences = [abs(one - other) for one, other in zip(of_fast, of_plain, strict=True)]
        assert 0 < max(differences) < spread / 4


def test_test_losses_are_in_the_precision_of_training(
    mixed: Workers, train_images: Tensor, test_images: Tensor
) -> None:
    trained = train(build_vae(2, seed=SEED), train_images, test_images, mixed, epochs=1)
    [found] = trained.test_losses
    with torch.no_grad(), mixed.autocast():
        noise = torch.randn(TEST, 2, generator=Generator().manual_seed(SEED))
        expected = loss_terms(trained.vae, test_images, noise).double().mean(0)
    assert found == pytest.approx(expected.tolist(), rel=1e-6)
    precise = mean_losses(trained.vae, test_images, Generator().manual_seed(SEED), mixed)
    assert found != precise
    assert found == pytest.approx(precise, rel=0.01)
    assert all(parameter.dtype == torch.float32 for parameter in trained.vae.parameters())


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_number_of_workers_changes_no_bit_in_mixed_precision(
    mixed: Workers, train_images: Tensor, test_images: Tensor, tmp_path: Path, optimizer: OptimizerName
) -> None:
    crews = [mixed, *(Workers(torch.device("cpu"), threads, "mixed") for threads in (1, 2, 3))]
    runs = [
        train(build_vae(2, seed=SEED), train_images, test_images, workers, optimizer=optimizer)
        for workers in crews
    ]
    assert all(run.losses == runs[0].losses for run in runs)
    assert len({run.weights(tmp_path) for run in runs}) == 1


# Progress.


def test_loss_falls(run: Run) -> None:
    assert [epoch.number for epoch in run.epochs] == [1, 2]
    first, last = run.epochs
    assert last.train.combined_loss < 0.95 * first.train.combined_loss
    before, after = run.test_losses
    assert after.combined_loss < 0.95 * before.combined_loss
    assert last.train.reconstruction_loss < first.train.reconstruction_loss


def test_losses_have_names() -> None:
    epoch = Epoch(1, 30.5, Losses(20.0, 10.0), Losses(21.0, 11.0), 2.0, 100.0)
    of_training = {"loss": 30.5, "reconstruction_loss": 20.0, "kl_loss": 10.0, "combined_loss": 30.0}
    of_test = {"test_reconstruction_loss": 21.0, "test_kl_loss": 11.0, "test_combined_loss": 32.0}
    assert epoch.losses() == {**of_training, **of_test}
    assert replace(epoch, test=None).losses() == of_training


def test_loss_of_the_reports_objective_is_the_combined_loss(run: Run) -> None:
    assert [epoch.loss for epoch in run.epochs] == pytest.approx(
        [epoch.train.combined_loss for epoch in run.epochs], rel=1e-6
    )


def test_plain_autoencoder_has_no_kl() -> None:
    epoch = Epoch(2, 20.0, Losses(20.0), Losses(21.0), 2.0, 100.0)
    assert epoch.losses() == {"loss": 20.0, "reconstruction_loss": 20.0, "test_reconstruction_loss": 21.0}
    assert str(epoch) == "epoch 2: reconstruction loss 20.000, test 21.000, 100 images/s"


def test_line_of_progress() -> None:
    epoch = Epoch(3, 30.1234, Losses(20.0, 10.1234), Losses(21.0, 10.5678), 2.0, 12345.6)
    assert str(epoch) == "epoch 3: combined loss 30.123, test 31.568, 12,346 images/s"
    assert str(replace(epoch, test=None)) == "epoch 3: combined loss 30.123, 12,346 images/s"


def test_rate_is_that_of_the_training_images(run: Run) -> None:
    for epoch in run.epochs:
        assert epoch.images_per_second == pytest.approx(TRAIN / epoch.seconds)


def test_train_save_load_gives_the_same_numbers(
    run: Run, test_images: Tensor, workers: Workers, tmp_path: Path
) -> None:
    save_vae(tmp_path / "vae.safetensors", run.vae)
    loaded = load_vae(tmp_path / "vae.safetensors", torch.device("cpu"))
    for vae in (run.vae, loaded):
        again = mean_losses(vae, test_images, Generator().manual_seed(SEED), workers)
        assert again == run.epochs[-1].test


# Seeds and workers.


@pytest.mark.usefixtures("global_rng_untouched")
def test_number_of_workers_changes_no_bit(
    run: Run, train_images: Tensor, test_images: Tensor, crews: list[Workers], tmp_path: Path
) -> None:
    for workers in (crews[0], crews[2]):  # `run` had two
        other = train(build_vae(2, seed=SEED), train_images, test_images, workers)
        assert other.losses == run.losses
        assert other.weights(tmp_path) == run.weights(tmp_path)


def test_number_of_workers_changes_no_bit_of_muon(
    train_images: Tensor, test_images: Tensor, crews: list[Workers], tmp_path: Path
) -> None:
    runs = [
        train(build_vae(2, seed=SEED), train_images, test_images, workers, optimizer="muon")
        for workers in crews
    ]
    assert all(run.losses == runs[0].losses for run in runs)
    assert len({run.weights(tmp_path) for run in runs}) == 1
    first, last = runs[0].test_losses
    assert last.combined_loss < first.combined_loss


def test_seed_decides(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers, tmp_path: Path
) -> None:
    first, again, other = (
        train(tiny_vae(2, 0), train_images, test_images, workers, seed=seed) for seed in (3, 3, 4)
    )
    assert again.losses == first.losses
    assert again.weights(tmp_path) == first.weights(tmp_path)
    assert other.losses != first.losses
    assert other.weights(tmp_path) != first.weights(tmp_path)


def test_global_generator_does_not_matter(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers, tmp_path: Path
) -> None:
    with torch.random.fork_rng(devices=[]):
        results = set()
        for seed in (1, 2):
            torch.manual_seed(seed)
            run = train(tiny_vae(2, 0), train_images, test_images, workers)
            results.add((str(run.losses), run.weights(tmp_path)))
    assert len(results) == 1


# One epoch. A learning rate of 1e-12 leaves the weights as good as they were.


def test_ragged_batch_weighs_every_image_alike(
    tiny_vae: BuildVAE, test_images: Tensor, workers: Workers
) -> None:
    images = torch.cat([test_images[:6], torch.ones(4, 1, 28, 28)])
    run = train(tiny_vae(2, 0), images, test_images, workers, epochs=1, batch_size=4, learning_rate=1e-12)
    generator = Generator().manual_seed(SEED)
    order = torch.randperm(10, generator=generator)
    with torch.no_grad():
        terms = loss_terms(tiny_vae(2, 0), images[order], torch.randn(10, 2, generator=generator))
    assert run.epochs[0].train == pytest.approx(terms.mean(0).tolist(), rel=1e-5)
    of_batches = torch.stack([batch.mean(0) for batch in terms.split(4)]).mean(0)
    assert run.epochs[0].train.reconstruction_loss != pytest.approx(float(of_batches[0]), rel=1e-3)


def test_every_epoch_has_its_own_noise_and_the_test_set_always_the_same(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    run = train(tiny_vae(2, 0), train_images, test_images, workers, epochs=3, learning_rate=1e-12)
    trained = [epoch.train.reconstruction_loss for epoch in run.epochs]
    tested = [losses.reconstruction_loss for losses in run.test_losses]
    assert min(abs(one - other) for one, other in pairwise(trained)) > 1e-4
    assert tested == pytest.approx([tested[0]] * 3, rel=1e-7)
    # The KL has no noise: every image is met once an epoch.
    assert [epoch.train.kl_loss for epoch in run.epochs] == pytest.approx(
        [run.epochs[0].train.kl_loss] * 3, rel=1e-6
    )


def test_step_is_adams(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    # Adam's first step moves every weight by the learning rate, against the sign of its gradient.
    vae = tiny_vae(2, 0)
    before = [parameter.detach().clone() for parameter in vae.parameters()]
    train(vae, train_images, test_images, workers, epochs=1, batch_size=TRAIN, learning_rate=1e-3)
    for parameter, start in zip(vae.parameters(), before, strict=True):
        assert parameter.grad is not None
        clear = parameter.grad.abs() > 1e-3
        assert clear.any()
        moved = (parameter.detach() - start)[clear]
        torch.testing.assert_close(moved, -1e-3 * parameter.grad[clear].sign(), rtol=1e-3, atol=1e-7)


def test_batch_larger_than_the_data_is_one_step(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    whole, larger = (
        train(tiny_vae(2, 0), train_images, test_images, workers, batch_size=size) for size in (TRAIN, 4096)
    )
    assert whole.losses == larger.losses


def test_epoch_is_trained_when_it_is_asked_for(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    vae = tiny_vae(2, 0)
    before = vae.get_parameter(MEAN).detach().clone()
    epochs = three_epochs(vae, train_images, test_images, workers)
    assert torch.equal(vae.get_parameter(MEAN), before)
    assert next(epochs).number == 1
    after_one = vae.get_parameter(MEAN).detach().clone()
    assert not torch.equal(after_one, before)
    assert next(epochs).number == 2
    assert not torch.equal(vae.get_parameter(MEAN), after_one)


def test_no_thread_of_the_caller_takes_the_workers_cores(
    monkeypatch: pytest.MonkeyPatch, tiny_vae: BuildVAE, digits: Dataset, workers: Workers
) -> None:
    threads = []

    def means(batch_sums: Iterator[Tensor], count: int, epoch: int) -> Tensor:
        threads.append(torch.get_num_threads())
        return torch.stack(list(batch_sums)).sum(0) / count

    monkeypatch.setattr(training, "epoch_means", means)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(tiny_vae(2, 0), digits.train.images[:TRAIN], digits.test.images[:TEST], workers)
        assert threads == [1] * EPOCHS
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_seconds_are_those_of_training(
    tiny_vae: BuildVAE,
    train_images: Tensor,
    test_images: Tensor,
    workers: Workers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(*_: object, **__: object) -> Losses:
        time.sleep(0.3)
        return Losses(1.0, 1.0)

    monkeypatch.setattr(training, "mean_losses", slow)
    started = time.perf_counter()
    [epoch] = train(tiny_vae(2, 0), train_images, test_images, workers, epochs=1).epochs
    whole = time.perf_counter() - started
    assert 0 < epoch.seconds <= whole - 0.3


# Train and test.


def test_test_losses_are_those_of_the_test_images(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers, tmp_path: Path
) -> None:
    inverted = 1 - test_images
    plain = train(tiny_vae(2, 0), train_images, test_images, workers)
    other = train(tiny_vae(2, 0), train_images, inverted, workers)
    assert [epoch.train for epoch in other.epochs] == [epoch.train for epoch in plain.epochs]
    assert other.weights(tmp_path) == plain.weights(tmp_path)  # nothing is learnt from them
    expected = mean_losses(other.vae, inverted, Generator().manual_seed(SEED), workers)
    assert other.epochs[-1].test == expected
    assert plain.epochs[-1].test != expected


def test_without_test_images_it_learns_the_same(
    run: Run, train_images: Tensor, workers: Workers, tmp_path: Path
) -> None:
    vae = build_vae(2, seed=SEED)
    epochs = list(
        train_vae(
            vae,
            train_images,
            objective=ELBO,
            epochs=EPOCHS,
            batch_size=BATCH,
            optimizer="adam",
            learning_rate=RATE,
            seed=SEED,
            workers=workers,
        )
    )
    assert [epoch.test for epoch in epochs] == [None, None]
    assert [epoch.train for epoch in epochs] == [epoch.train for epoch in run.epochs]
    assert Run(vae, epochs).weights(tmp_path) == run.weights(tmp_path)


def test_training_images_do_not_enter_the_test_losses(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    plain, other = (
        train(tiny_vae(2, 0), images, test_images, workers, epochs=1, learning_rate=1e-12).epochs[0]
        for images in (train_images, 1 - train_images[:100])
    )
    assert other.test == pytest.approx(plain.test, rel=1e-6)
    assert other.train.reconstruction_loss != pytest.approx(plain.train.reconstruction_loss, rel=0.01)


def test_images_stay_as_they_are(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    train_copy, test_copy = train_images.clone(), test_images.clone()
    train(tiny_vae(2, 0), train_images, test_images, workers)
    assert torch.equal(train_images, train_copy)
    assert torch.equal(test_images, test_copy)


# Losses that are not finite.


def poison(vae: VAE) -> None:
    with torch.no_grad():
        vae.get_parameter(MEAN)[0, 0] = torch.nan


def test_nan_weights_end_the_first_epoch(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    vae = tiny_vae(2, 0)
    poison(vae)
    with pytest.raises(FloatingPointError, match=r"^the loss is NaN or infinite in epoch 1$"):
        train(vae, train_images, test_images, workers)


@pytest.mark.parametrize("place", [0, TRAIN // 2, TRAIN - 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pixel_that_is_not_a_number_ends_the_first_epoch(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers, place: int, value: float
) -> None:
    images = train_images.clone()
    images[place, 0, 14, 14] = value
    with pytest.raises(FloatingPointError, match="epoch 1"):
        train(tiny_vae(2, 0), images, test_images, workers)


def test_message_names_the_epoch(
    tiny_vae: BuildVAE, train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    vae = tiny_vae(2, 0)
    epochs = three_epochs(vae, train_images, test_images, workers)
    next(epochs)
    poison(vae)
    with pytest.raises(FloatingPointError, match="epoch 2"):
        next(epochs)


def test_last_step_that_ruins_the_weights_is_an_error(
    train_images: Tensor, test_images: Tensor, workers: Workers
) -> None:
    def ruin(test: Tensor | None) -> None:
        [epoch] = train_vae(
            build_vae(5, seed=0),
            train_images[:100],
            test,
            objective=ELBO,
            epochs=1,
            batch_size=100,
            optimizer="adam",
            learning_rate=0.1,
            seed=0,
            workers=workers,
        )
        if epoch.test:
            assert not math.isfinite(epoch.test.combined_loss)  # else the test itself is at fault

    for test in (test_images, None):
        with pytest.raises(FloatingPointError, match="epoch 1"):
            ruin(test)
