"""The record in MLflow. Nothing here can change a number that a stage writes: see `vaebench.pipeline`."""
