"""Stage 3: train the VAE with one number of latent dimensions, from one seed."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import whole_file, write_csv, write_json
from vaebench.pipeline.key import ModelKey
from vaebench.pipeline.params import LatentDimOption, SeedOption, load_params
from vaebench.pipeline.stage import require, run_stage


def main(latent_dim: LatentDimOption, seed: SeedOption) -> None:
    """Train one VAE; write its weights, the losses of every epoch and the training's key statistics."""
    params = load_params()
    key = ModelKey(latent_dim, seed)
    dataset_file = require(paths.DATASET)

    from vaebench.data.dataset import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.models.vae import build_vae, save_vae
    from vaebench.tracking.progress import follow
    from vaebench.tracking.strip import Strip
    from vaebench.tracking.track import track
    from vaebench.training.train_vae import train_vae

    recipe = params.vae.chosen.model_dump()
    dataset = load_dataset(dataset_file)
    workers = Workers(select_device(), precision=params.precision)
    about = key.params() | {"recipe": params.vae.recipe, **recipe, "training_precision": workers.precision}
    with track(f"train_vae@{key.item}", params=about, device=workers.device.type) as run:
        run.log_dataset(dataset)
        vae = build_vae(latent_dim, seed).to(workers.device)
        training = train_vae(
            vae, dataset.train.images, dataset.test.images, **recipe, seed=seed, workers=workers
        )
        strip = Strip(vae, dataset.test.images, recipe["epochs"])
        rate = f"vae.{params.vae.recipe}.learning_rate"
        epochs = follow(strip.follow(training), run, key.title, rate)
        seconds = sum(epoch.seconds for epoch in epochs)
        statistics = {
            "training_seconds": seconds,
            "images_per_second": len(dataset.train) * len(epochs) / seconds,
            "parameters": sum(parameter.numel() for parameter in vae.parameters()),
        }

        with whole_file(paths.vae_weights(key)) as temporary:
            save_vae(temporary, vae)
        write_csv(paths.curve(key), [{"epoch": each.number, **each.losses()} for each in epochs])
        machine = {"device": workers.device.type, "threads": workers.threads}
        write_json(paths.training(key), {**about, **machine, **statistics})
        run.log_metrics(statistics)
        run.log_model(paths.vae_weights(key), f"vae-{key}", about)
        run.log_artifact(paths.curve(key))
        run.log_strip(strip)


if __name__ == "__main__":
    run_stage(main)
