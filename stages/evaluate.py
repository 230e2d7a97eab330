"""Stage 5: score one trained VAE, beside as many principal components, and keep what its pictures need."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import whole_file, write_json
from vaebench.pipeline.key import ModelKey
from vaebench.pipeline.params import LatentDimOption, SeedOption, load_params
from vaebench.pipeline.stage import require, run_stage, say


def main(latent_dim: LatentDimOption, seed: SeedOption) -> None:
    """Score one trained VAE; write its scores and the arrays that its pictures need."""
    params = load_params()
    key = ModelKey(latent_dim, seed)
    dataset_file = require(paths.DATASET)
    members = [require(paths.classifier_weights("plain", i)) for i in params.classifier.seeds]
    vae_file = require(paths.vae_weights(key))

    from vaebench.data.dataset import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.evaluation.evaluate import Draws, Judge, evaluate
    from vaebench.evaluation.pictures import save_pictures
    from vaebench.models.classifier import load_classifier
    from vaebench.models.vae import load_vae
    from vaebench.tracking.track import track

    dataset = load_dataset(dataset_file)
    workers = Workers(select_device())
    vae = load_vae(vae_file, workers.device, latent_dim)
    classifiers = [load_classifier(file, workers.device) for file in members]
    draws = params.evaluate.model_dump(exclude={"seed"})
    about = key.params() | {"evaluation_seed": params.evaluate.seed, "panel": len(members), **draws}
    with track(f"evaluate@{key.item}", params=about, device=workers.device.type) as run:
        run.log_dataset(dataset)
        found = evaluate(
            vae,
            Judge(
                panel=classifiers,
                dataset=dataset,
                draws=Draws(**draws),
                seed=params.evaluate.seed,
                workers=workers,
                say=lambda line: say(f"{key.title}: {line}"),
            ),
        )
        for name, value in found.vae.items():
            say(f"{name}: {value:.4f}")

        with whole_file(paths.pictures(key)) as temporary:
            save_pictures(temporary, found.pictures)
        scored = min(params.evaluate.likelihood_images, len(dataset.test))
        counts = {"train_images": len(dataset.train), "test_images": len(dataset.test)}
        counts["likelihood_images"] = scored
        tables = {
            name: table.tolist()
            for name in ("kl_spectrum", "active", "confusion", "overlap")
            if (table := getattr(found, name)) is not None
        }
        scores = {"vae": found.vae, "pca": found.pca}
        write_json(paths.evaluation(key), {**about, **counts, **scores, **tables})
        run.log_scores(vae_file, found.vae)
        run.log_metrics({f"pca_{name}": value for name, value in found.pca.items()})
        run.log_artifact(paths.evaluation(key))


if __name__ == "__main__":
    run_stage(main)
