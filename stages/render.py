"""Stage 8: draw every picture, from what the other stages wrote."""

import math
import shutil

from vaebench.pipeline import paths
from vaebench.pipeline.files import whole_file, write_csv
from vaebench.pipeline.params import LatentDimsArgument, ModelOption, load_params
from vaebench.pipeline.stage import require, run_stage, say


def main(latent_dims: LatentDimsArgument, model: ModelOption) -> None:
    """Draw the benchmark in plots/benchmark and the model under study in plots/model."""
    params = load_params()
    dimensions = sorted({*latent_dims, model})
    curve_files = {i: require(paths.curve(i)) for i in dimensions}
    picture_files = {i: require(paths.pictures(i)) for i in dimensions}
    evaluation_files = {i: require(paths.evaluation(i)) for i in dimensions}
    reproduction_files = {i: require(paths.reproduction_curve(i)) for i in latent_dims}
    table_file = require(paths.BENCHMARK_CSV)
    references_file = require(paths.REFERENCES)

    import numpy as np

    from vaebench import figures
    from vaebench.evaluation.pictures import load_pictures
    from vaebench.findings.fitness import panel_warning
    from vaebench.findings.results import Evaluation, References, read_benchmark, read_curve, read_result
    from vaebench.tracking.track import track

    table = read_benchmark(table_file)
    warning = panel_warning(table)
    references = read_result(references_file, References)
    curves = {i: read_curve(file, tested=True) for i, file in curve_files.items()}
    reproduced = {i: read_curve(file, tested=False) for i, file in reproduction_files.items()}
    evaluations = {i: read_result(file, Evaluation, i) for i, file in evaluation_files.items()}
    pictures_of = {i: load_pictures(file, i) for i, file in picture_files.items()}
    overlaps = {i: np.array(found["overlap"]) for i, found in evaluations.items()}
    spectra = {i: np.array(found["kl_spectrum"]) for i, found in evaluations.items()}
    active = {i: np.array(found["active"]) for i, found in evaluations.items()}

    with track("render", params={"latent_dim": model}) as run:
        for latent_dim, curve in curves.items():
            pictures = pictures_of[latent_dim]
            named = f"latent dimension {latent_dim}"
            for name, figure in {
                "losses": figures.loss_curves(curve, latent_dim),
                "latent": figures.latent_scatter(pictures, latent_dim),
                "reconstructions": figures.reconstructions(pictures, latent_dim),
                "samples": figures.prior_samples(pictures, latent_dim),
                "interpolations": figures.interpolations(pictures, latent_dim),
                "label_distributions": figures.label_distributions(pictures, latent_dim, warning),
                "confusion": figures.confusion(
                    pictures.confusion, f"Reconstructions as the classifiers read them · {named}", warning
                ),
                "overlap": figures.overlap(
                    overlaps[latent_dim], f"Overlap of digits in the latent space · {named}"
                ),
            }.items():
                drawn = paths.BENCHMARK_PLOTS / f"{name}-d{latent_dim}.png"
                figures.save(figure, drawn)
                if latent_dim == model:
                    with whole_file(paths.MODEL_PLOTS / f"{name}.png") as temporary:
                        shutil.copyfile(drawn, temporary)
            if latent_dim == model:
                counts = np.ndenumerate(pictures.confusion)
                rows = [{"true_digit": true, "read_as": read, "digits": n} for (true, read), n in counts]
                write_csv(paths.MODEL_PLOTS / "confusion.csv", rows)
            say(f"drew dimension {latent_dim}")
        with whole_file(paths.MODEL_PLOTS / "curve.csv") as temporary:
            shutil.copyfile(curve_files[model], temporary)
        published = table.dropna(subset="report_combined_loss")
        report = dict(zip(published["latent_dim"], published["report_combined_loss"], strict=True))
        for name, figure in {
            "losses": figures.benchmark_curves(curves),
            "recipes": figures.recipe_curves(curves, params.vae.recipe, reproduced, report),
            "criteria": figures.criteria(
                table, references["inception_score_ceiling"], math.log(references["test_images"])
            ),
            "rate_distortion": figures.rate_distortion(table),
            "overlaps": figures.overlaps(overlaps),
            "kl_spectra": figures.kl_spectra(spectra, active),
            "confusion-classifiers": figures.confusion(
                np.array(references["panel_confusion"]), "Test digits as the classifiers read them", warning
            ),
        }.items():
            figures.save(figure, paths.BENCHMARK_PLOTS / f"{name}.png")
        run.log_artifact(paths.BENCHMARK_PLOTS)
        run.log_artifact(paths.MODEL_PLOTS)
        for latent_dim in dimensions:
            for name in ("samples", "reconstructions"):
                drawn = paths.BENCHMARK_PLOTS / f"{name}-d{latent_dim}.png"
                run.log_picture(drawn, paths.vae_weights(latent_dim))


if __name__ == "__main__":
    run_stage(main)
