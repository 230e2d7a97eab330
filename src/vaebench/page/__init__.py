"""The report page: one HTML file that shows the benchmark and runs its models, without a network."""
