"""How a stage runs: its parameters, its files and its messages. It imports no other package of the project.

Nothing here, nor in `vaebench.tracking`, can change a number that a stage writes, so `dvc.yaml` lists none of
it as a dependency: parameter values are declared under `params`, and the rest only watches or carries. One
module is named by the stages that use it: `datasets`, which says what is fetched and what classes are called.
"""
