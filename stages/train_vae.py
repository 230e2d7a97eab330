"""Stage 3: train one VAE from one seed: of the sweep over latent dimensions, or a variant."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import whole_file, write_csv, write_json
from vaebench.pipeline.key import ModelKey
from vaebench.pipeline.params import LatentDimOption, SeedOption, VariantOption, load_params
from vaebench.pipeline.stage import require, run_stage


def main(latent_dim: LatentDimOption, seed: SeedOption, variant: VariantOption = "") -> None:
    """Train one VAE; write its weights, the losses of every epoch and the training's key statistics."""
    params = load_params()
    key = ModelKey(latent_dim, seed, variant)
    model = params.model(variant)
    dataset_file = require(paths.DATASET)

    from vaebench.data.dataset import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.models.objective import load_objective
    from vaebench.models.vae import build_vae, save_vae
    from vaebench.tracking.progress import follow
    from vaebench.tracking.strip import Strip
    from vaebench.tracking.track import track
    from vaebench.training.train_vae import train_vae

    dataset = load_dataset(dataset_file)
    workers = Workers(select_device(), precision=params.precision)
    about = {**key.params(), **model.about(), "training_precision": workers.precision}
    with track(key.training, params=about, device=workers.device.type) as run:
        run.log_dataset(dataset)
        vae = build_vae(latent_dim, seed, model.network, model.objective).to(workers.device)
        training = train_vae(
            vae,
            dataset.train.images,
            dataset.test.images,
            objective=load_objective(model.objective, model.parameters),
            **model.recipe.model_dump(),
            seed=seed,
            workers=workers,
        )
        strip = Strip(vae, dataset.test.images, model.recipe.epochs)
        epochs = follow(strip.follow(training), run, key.title, model.rate)
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
