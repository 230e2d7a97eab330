"""Scores of a trained model, each a pure function in a module of its own."""
