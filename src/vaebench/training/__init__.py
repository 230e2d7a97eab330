"""How models are trained, and fast."""
