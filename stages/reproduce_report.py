"""Stage 4: train the VAE by the report's own recipe, for the table's comparison; no model is kept."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import write_csv, write_json
from vaebench.pipeline.key import ModelKey
from vaebench.pipeline.params import LatentDimOption, SeedOption, load_params
from vaebench.pipeline.stage import require, run_stage


def main(latent_dim: LatentDimOption, seed: SeedOption) -> None:
    """Train one VAE as the report did; write the losses of every epoch and those after the last."""
    params = load_params()
    key = ModelKey(latent_dim, seed)
    dataset_file = require(paths.DATASET)

    from torch import Generator

    from vaebench.data.dataset import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.models.losses import mean_losses
    from vaebench.models.objective import load_objective
    from vaebench.models.vae import build_vae
    from vaebench.tracking.progress import follow
    from vaebench.tracking.track import track
    from vaebench.training.train_vae import train_vae

    recipe = params.vae.report.model_dump()
    dataset = load_dataset(dataset_file)
    workers = Workers(select_device(), precision=params.precision)
    about = key.params() | {"recipe": "report", **recipe, "training_precision": workers.precision}
    with track(f"reproduce_report@{key.item}", params=about, device=workers.device.type) as run:
        run.log_dataset(dataset)
        vae = build_vae(latent_dim, seed).to(workers.device)
        training = train_vae(
            vae,
            dataset.train.images,
            objective=load_objective("elbo"),
            **recipe,
            seed=seed,
            workers=workers,
        )
        epochs = follow(training, run, key.title, "vae.report.learning_rate")
        losses = mean_losses(vae, dataset.train.images, Generator().manual_seed(seed), workers)
        scores = {**losses.named(), "training_seconds": sum(epoch.seconds for epoch in epochs)}

        curve = [{"epoch": epoch.number, **epoch.losses()} for epoch in epochs]
        write_csv(paths.reproduction_curve(key), curve)
        about["train_images"] = len(dataset.train)
        write_json(paths.reproduction(key), {**about, **scores})
        run.log_metrics(scores)
        run.log_artifact(paths.reproduction_curve(key))


if __name__ == "__main__":
    run_stage(main)
