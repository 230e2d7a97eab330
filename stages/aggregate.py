"""Stage 7: gather every model's numbers in one table, and say what they make of the report's claims."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import write_json, write_text
from vaebench.pipeline.params import LatentDimsArgument, ModelOption, load_params
from vaebench.pipeline.stage import require, run_stage, say


def main(latent_dims: LatentDimsArgument, model: ModelOption) -> None:
    """Write the table of all models, the findings, and the headline numbers of the model under study."""
    dataset = load_params().data.dataset
    dimensions, benchmark = sorted({*latent_dims, model}), sorted(set(latent_dims))
    training_files = {i: require(paths.training(i)) for i in dimensions}
    evaluation_files = {i: require(paths.evaluation(i)) for i in dimensions}
    reproduction_files = {i: require(paths.reproduction(i)) for i in benchmark}
    references_file = require(paths.REFERENCES)
    curve_files = {i: require(paths.curve(i)) for i in dimensions}
    reproduced_files = {i: require(paths.reproduction_curve(i)) for i in benchmark}

    import torch

    from vaebench.findings.claims import Matrices
    from vaebench.findings.findings import Scope, findings
    from vaebench.findings.fitness import panel_warning
    from vaebench.findings.report import published
    from vaebench.findings.results import (
        Evaluation,
        References,
        Reproduction,
        Training,
        read_curve,
        read_report,
        read_result,
    )
    from vaebench.findings.table import DRAWN, benchmark_table, headline, to_markdown, to_text
    from vaebench.tracking.track import track

    trainings = [read_result(file, Training, i) for i, file in training_files.items()]
    evaluations = [read_result(file, Evaluation, i) for i, file in evaluation_files.items()]
    reproductions = [read_result(file, Reproduction, i) for i, file in reproduction_files.items()]
    references = read_result(references_file, References)
    curves = {i: read_curve(file, tested=True) for i, file in curve_files.items()}
    reproduced = {i: read_curve(file, tested=False) for i, file in reproduced_files.items()}
    report = published(read_report(paths.REPORT), dataset)
    with track("aggregate", params={"latent_dim": model}) as run:
        table = benchmark_table(trainings, evaluations, references, reproductions, report)
        drawn = {column: evaluations[0][column] for column in DRAWN}
        fit = not panel_warning(table)
        page = findings(
            table,
            {
                evaluation["latent_dim"]: Matrices(
                    torch.tensor(evaluation["confusion"]) if fit else None,
                    torch.tensor(evaluation["overlap"], dtype=torch.float64),
                )
                for evaluation in evaluations
            },
            curves,
            reproduced,
            Scope(
                dataset=dataset,
                **drawn,
                recipe=trainings[0]["recipe"],
                optimizer=trainings[0]["optimizer"],
                ceiling=references["inception_score_ceiling"],
            ),
        )
        write_text(paths.BENCHMARK_CSV, table.to_csv(index=False))
        write_text(paths.BENCHMARK_MD, to_markdown(table))
        write_text(paths.FINDINGS, page)
        write_json(paths.MODEL_METRICS, {**headline(table, model), "latent_dim": model, **drawn})

        run.log_headline(headline(table, model))
        for latent_dim in dimensions:
            scores = headline(table, latent_dim)
            run.log_headline({f"d{latent_dim}/{name}": score for name, score in scores.items()})
        for file in (paths.BENCHMARK_CSV, paths.BENCHMARK_MD, paths.FINDINGS):
            run.log_table(file)
    say(to_text(table))


if __name__ == "__main__":
    run_stage(main)
