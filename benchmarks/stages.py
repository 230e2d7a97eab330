"""Where the time went that the results took, by what the stages recorded in MLflow."""

import statistics
from collections import defaultdict
from pathlib import Path

from vaebench.pipeline.files import write_csv
from vaebench.pipeline.origin import repository_root
from vaebench.pipeline.stage import StageError, run_stage, say
from vaebench.tracking.history import finished_stages
from vaebench.tracking.store import PARENT_TAG, RECORD_TAG, STAGE_TAG, store_uri, usable


def main() -> None:
    """Write benchmarks/stages.csv and print it: of every stage the last run that finished.

    The work of a stage is what lies between the opening and the closing of its run. The time from the end of
    the run before it, of those beside each other the one that ended last, is its fixed cost: DVC, the
    interpreter, imports, and opening the record.
    """
    uri = store_uri(repository_root())
    with usable(uri):
        finished = [run for run in finished_stages(uri)[::-1] if RECORD_TAG not in run.data.tags]
    if not finished:
        raise StageError(f"{uri}: holds no stage that finished; `dvc repro` runs them")
    last = {run.data.tags[STAGE_TAG]: run for run in finished}  # later ones replace earlier ones

    work, fixed = defaultdict(list), defaultdict(list)
    ends: dict[str, list[int]] = defaultdict(list)  # of the runs that none has followed yet, by execution
    for run in finished:
        item, started, ended = run.data.tags[STAGE_TAG], run.info.start_time, run.info.end_time
        stage = item.split("@")[0]
        before = ends[run.data.tags[PARENT_TAG]]
        previous = max((end for end in before if end <= started), default=None)
        if previous is not None:
            before.remove(previous)
        before.append(ended)
        if last[item] is run:
            work[stage].append((ended - started) / 1000)
            if previous is not None:
                fixed[stage].append((started - previous) / 1000)
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
    seconds = round(sum(sum(each) for each in work.values()), 1)
    rows.append({"stage": "together", "runs": len(last), "seconds": seconds})
    write_csv(Path("benchmarks/stages.csv"), rows)
    for row in rows:
        say(", ".join(f"{key}: {value}" for key, value in row.items()))


if __name__ == "__main__":
    run_stage(main)
