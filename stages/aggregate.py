"""Stage 7: gather every model's numbers in one table, beside the report's."""

import json

from vaebench.pipeline import paths
from vaebench.pipeline.files import write_json, write_text
from vaebench.pipeline.params import LatentDimsArgument, ModelOption, load_params
from vaebench.pipeline.stage import require, run_stage, say


def main(latent_dims: LatentDimsArgument, model: ModelOption) -> None:
    """Write the table of all dimensions and the headline numbers of the model under study."""
    params = load_params()
    dimensions = sorted({*latent_dims, model})
    models = []
    for latent_dim in dimensions:
        training = require(paths.training(latent_dim), f"train_vae@{latent_dim}")
        evaluation = require(paths.evaluation(latent_dim), f"evaluate@{latent_dim}")
        models.append(json.loads(training.read_text()) | json.loads(evaluation.read_text()))
    reproductions = [
        json.loads(require(paths.reproduction(latent_dim), f"reproduce_report@{latent_dim}").read_text())
        for latent_dim in sorted(set(latent_dims))
    ]

    import pandas as pd

    from vaebench.pipeline.tracking import track
    from vaebench.table import HEADLINE, benchmark_table, headline, to_markdown

    report = pd.read_csv(paths.REPORT)
    if params.data.dataset != "mnist":  # other digits, other losses: nothing to compare
        report = report.iloc[:0]
    with track("aggregate", params={"latent_dim": model}) as run:
        table = benchmark_table(models, reproductions, report)
        write_text(paths.BENCHMARK_CSV, table.to_csv(index=False))
        write_text(paths.BENCHMARK_MD, to_markdown(table))
        write_json(paths.MODEL_METRICS, {"latent_dim": model, **headline(table, model)})

        run.log_headline(headline(table, model))
        for latent_dim in dimensions:
            scores = headline(table, latent_dim)
            run.log_headline({f"d{latent_dim}/{name}": scores[name] for name in HEADLINE})
        run.log_artifact(paths.BENCHMARK_CSV)
        run.log_artifact(paths.BENCHMARK_MD)
    say(to_markdown(table))


if __name__ == "__main__":
    run_stage(main)
