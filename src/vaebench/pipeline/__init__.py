"""How a stage runs: its parameters, its files, its messages and its record in MLflow.

Nothing here can change a number that a stage writes, so `dvc.yaml` lists none of it as a dependency:
parameter values are declared under `params`, and the rest only watches or carries.
"""
