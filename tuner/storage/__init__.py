"""The database: Optuna's tables and the tuner's. Only this package uses Optuna's internals."""
