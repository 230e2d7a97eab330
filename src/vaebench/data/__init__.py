"""The data set: how it is fetched, checked and read."""
