"""The database: Optuna's tables and the tuner's. Optuna's internals are used in this package only."""
