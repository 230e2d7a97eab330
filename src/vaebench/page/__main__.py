"""`make report`: the results of the pipeline as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from vaebench.pipeline import paths
from vaebench.pipeline.files import read_json, read_text, write_text
from vaebench.pipeline.key import by_dimension, first_of_each
from vaebench.pipeline.params import PARAMS_FILE, load_params
from vaebench.pipeline.stage import StageError, require_result, require_writable, run_stage, say

NETWORK = "conv"  # what the page's script decodes by


def main(
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
) -> None:
    """Write the report page."""
    params = load_params()
    if params.vae.network != NETWORK:
        found = f"got {params.vae.network!r}"
        raise StageError(f"{PARAMS_FILE}: vae.network must be {NETWORK} for the report page, {found}")
    require_writable([output.parent])
    table_file = require_result(paths.BENCHMARK_CSV)
    trainings_file, findings_file = require_result(paths.TRAININGS_CSV), require_result(paths.FINDINGS)

    import torch

    from vaebench.evaluation.pictures import load_pictures
    from vaebench.findings.results import (
        Evaluation,
        References,
        Reproduction,
        Training,
        read_benchmark,
        read_curve,
        read_keys,
        read_result,
    )
    from vaebench.findings.table import HEADLINE
    from vaebench.models.classifier import load_classifier
    from vaebench.models.vae import load_vae
    from vaebench.page.build import Results, build
    from vaebench.page.explorer import Explored
    from vaebench.page.origin import keep, recorded_runs, trace
    from vaebench.pipeline.origin import head

    table = read_benchmark(table_file)
    keys = read_keys(trainings_file)
    trainings = {key: read_result(require_result(paths.training(key)), Training, key) for key in keys}
    evaluations = {key: read_result(require_result(paths.evaluation(key)), Evaluation, key) for key in keys}
    curves = {key: read_curve(require_result(paths.curve(key)), tested=True) for key in keys}
    models = {
        key: Explored(
            load_vae(require_result(paths.vae_weights(key)), latent_dim=key.latent_dim),
            load_pictures(require_result(paths.pictures(key)), key.latent_dim),
            evaluations[key]["kl_spectrum"],
            evaluations[key]["active"],
        )
        for key in first_of_each(keys)
    }
    references = read_result(require_result(paths.REFERENCES), References)
    # Numbers that tell the run which made a file from all others.
    files: list[tuple[str, Path, dict[str, float]]] = [("report", paths.REPORT, {})]
    for key in keys:
        seconds = {"training_seconds": trainings[key]["training_seconds"]}
        files.append((key.training, paths.TRAININGS_CSV, seconds))
        files.append((f"evaluate@{key.item}", paths.TRAININGS_CSV, evaluations[key]["vae"]))
    for key in models:
        reproduction = read_result(require_result(paths.reproduction(key)), Reproduction, key)
        seconds = {"training_seconds": reproduction["training_seconds"]}
        files.append((f"reproduce_report@{key.item}", paths.BENCHMARK_CSV, seconds))
    files.append(("aggregate", paths.FINDINGS, {}))
    noise = {f"pixel_noise_{name}": value for name, value in references["pixel noise"].items()}
    files.append(("evaluate_references", paths.BENCHMARK_CSV, noise))
    runs = recorded_runs()
    page = build(
        Results(
            table=table,
            findings=read_text(findings_file),
            trainings=trainings,
            curves=by_dimension(curves),
            models=models,
            panel=[
                load_classifier(require_result(paths.classifier_weights("plain", each)), torch.device("cpu"))
                for each in params.classifier.seeds
            ],
            panel_accuracy=references["panel_test_accuracy"],
            plots=paths.BENCHMARK_PLOTS,
            origins=[trace(*made, runs) for made in files],
            commit=head(),
            dataset=params.data.dataset,
        )
    )
    write_text(output, page)
    if runs:
        scores = read_json(paths.MODEL_METRICS) if paths.MODEL_METRICS.is_file() else {}
        keep(output, {name: scores[name] for name in HEADLINE if name in scores})
    say(f"{output}: {output.stat().st_size / 1e6:.1f} MB; open it in a browser")


if __name__ == "__main__":
    run_stage(main)
