"""Where the time of the last `dvc repro` went, by what its stages recorded in MLflow."""

import statistics
from collections import defaultdict
from pathlib import Path

from vaebench.pipeline.files import write_csv
from vaebench.pipeline.stage import StageError, run_stage, say
from vaebench.pipeline.tracking import EXPERIMENT, PARENT_TAG


def main() -> None:
    """Write benchmarks/stages.csv and print it.

    The work of a stage is what lies between the opening and the closing of its run. The time from the end of
    the run before it, of those beside each other the one that ended last, is its fixed cost: DVC, the
    interpreter, imports, and opening the record.
    """
    store = "mlflow.db"
    if not Path(store).is_file():
        raise StageError(f"{store}: not found; `dvc repro` writes it")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        raise StageError(f"{store}: holds no experiment {EXPERIMENT}; `dvc repro` makes it")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    parent = next(run for run in runs if PARENT_TAG not in run.data.tags)
    own = (run.info for run in runs if run.data.tags.get(PARENT_TAG) == parent.info.run_id)
    children = [child for child in own if child.end_time]
    children.sort(key=lambda child: child.start_time)

    work, fixed = defaultdict(list), defaultdict(list)
    ends: list[int] = []
    for child in children:
        stage = child.run_name.split("@")[0]
        work[stage].append((child.end_time - child.start_time) / 1000)
        before = max((end for end in ends if end <= child.start_time), default=None)
        if before is not None:
            ends.remove(before)
            fixed[stage].append((child.start_time - before) / 1000)
        ends.append(child.end_time)
    rows: list[dict[str, object]] = [
        {
            "stage": stage,
            "runs": len(seconds),
            "seconds": round(sum(seconds), 1),
            "seconds_each": round(statistics.median(seconds), 1),
            "fixed_seconds_each": round(statistics.median(fixed[stage]), 1) if fixed[stage] else "",
        }
        for stage, seconds in work.items()
    ]
    whole = (max(ends) - children[0].start_time) / 1000
    rows.append({"stage": "from the first to the last", "runs": len(children), "seconds": round(whole, 1)})
    write_csv(Path("benchmarks/stages.csv"), rows)
    for row in rows:
        say(", ".join(f"{key}: {value}" for key, value in row.items()))


if __name__ == "__main__":
    run_stage(main)
