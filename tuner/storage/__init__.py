"""The database: Optuna's tables and ours. Optuna's internals are used in this package only."""
