"""Hyperparameter search: random search with ASHA, every trial a tracked run of one study."""
