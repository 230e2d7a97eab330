"""One engine, timed alone in its own process: `python benchmarks/engine.py textbook --images 12800`.

Every engine trains the same network with the same batch size, loss and optimiser (Adam) on the same digits;
only `vaebench-fast` takes the fast recipe's optimiser. `scoring` decodes as many images and has a classifier
read them. It prints one line of JSON, of a pass after a warm-up.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from torch import Tensor

from vaebench.data.dataset import load_dataset
from vaebench.device import Workers, select_device
from vaebench.pipeline import paths
from vaebench.training.optimizers import OptimizerName

LEARNING_RATE = 5e-4

Engine = Literal["textbook", "pythae", "vaebench", "vaebench-float32", "vaebench-fast", "scoring"]
Prepare = Callable[[Tensor, int, int], Callable[[], object]]


def main(
    engine: Engine,
    images: Annotated[int, typer.Option(min=1, help="Images of the timed pass.")] = 12_800,
    warm_up: Annotated[int, typer.Option(min=1, help="Images before it.")] = 5_120,
    batch_size: Annotated[int, typer.Option(min=1)] = 256,
    latent_dim: Annotated[int, typer.Option(min=1)] = 10,
) -> None:
    """Print how long `engine` takes for so many images."""
    engines: dict[str, Prepare] = {"textbook": _textbook, "pythae": _pythae, "scoring": _scoring}
    prepare = engines.get(engine) or _vaebench(engine)
    digits = load_dataset(paths.DATASET).train.images
    digits = digits.repeat(-(-images // len(digits)), 1, 1, 1)
    prepare(digits[:warm_up], batch_size, latent_dim)()
    train_epoch = prepare(digits[:images], batch_size, latent_dim)
    started = time.perf_counter()
    train_epoch()
    found = {
        "images": images,
        "seconds": time.perf_counter() - started,
        "batch_size": batch_size,
        "latent_dim": latent_dim,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps(found))


def _textbook(digits: Tensor, batch_size: int, latent_dim: int) -> Callable[[], object]:
    from torch.utils.data import DataLoader

    from textbook import Digits, TextbookVAE, train_epoch

    device = select_device()
    vae = TextbookVAE(latent_dim).to(device)
    optimizer = torch.optim.Adam(vae.parameters(), lr=LEARNING_RATE)
    loader = DataLoader(Digits(digits), batch_size=batch_size, shuffle=True)
    return lambda: train_epoch(vae, optimizer, loader, device)


def _vaebench(engine: str) -> Prepare:
    def prepare(digits: Tensor, batch_size: int, latent_dim: int) -> Callable[[], object]:
        from vaebench.models.objective import load_objective
        from vaebench.models.vae import build_vae
        from vaebench.training.train_vae import train_vae

        workers = Workers(select_device(), precision="float32" if engine == "vaebench-float32" else "mixed")
        vae = build_vae(latent_dim, seed=0).to(workers.device)
        optimizer: OptimizerName = "muon" if engine == "vaebench-fast" else "adam"

        def train_epoch() -> None:
            for _ in train_vae(
                vae,
                digits,
                objective=load_objective("elbo"),
                epochs=1,
                batch_size=batch_size,
                optimizer=optimizer,
                learning_rate=LEARNING_RATE,
                seed=0,
                workers=workers,
            ):
                pass

        return train_epoch

    return prepare


def _scoring(digits: Tensor, _batch_size: int, latent_dim: int) -> Callable[[], object]:
    from vaebench.evaluation.inference import decode
    from vaebench.evaluation.panel import read
    from vaebench.models.classifier import build_classifier
    from vaebench.models.vae import build_vae

    workers = Workers(select_device())
    vae = build_vae(latent_dim, seed=0).to(workers.device).eval()
    classifier = build_classifier(seed=0).to(workers.device).eval()
    latents = torch.randn(len(digits), latent_dim, generator=torch.Generator().manual_seed(0))
    return lambda: read([classifier], decode(vae, latents, workers), workers)


def _pythae(digits: Tensor, batch_size: int, latent_dim: int) -> Callable[[], object]:
    """Pythae's own trainer around the textbook's encoder, decoder and loss."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    from textbook import TextbookVAE, textbook_loss

    network = TextbookVAE(latent_dim)

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.mean, self.log_var = network.encoder, network.mean, network.log_var

        def forward(self, images: Tensor) -> object:
            features = self.layers(images)
            return ModelOutput(embedding=self.mean(features), log_covariance=self.log_var(features))

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = network.decoder

        def forward(self, latents: Tensor) -> object:
            return ModelOutput(reconstruction=self.layers(latents))

    class ReportsVAE(VAE):  # type: ignore[misc]
        def loss_function(self, recon_x: Tensor, x: Tensor, *posterior: Tensor) -> tuple[Tensor, ...]:
            mean, log_var, _ = posterior
            loss = textbook_loss(x, recon_x, mean, log_var)
            return loss, loss, loss

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=latent_dim)
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            model=ReportsVAE(config, encoder=Encoder(), decoder=Decoder()),
            train_dataset=BaseDataset(digits, torch.zeros(len(digits))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                per_device_train_batch_size=batch_size,
                num_epochs=1,
                learning_rate=LEARNING_RATE,
            ),
        )
        trainer.prepare_training()
    return lambda: trainer.train_step(1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
