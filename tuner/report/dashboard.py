"""optuna-dashboard on a study's database, on this machine only."""

from tuner.storage import Storage


def serve(storage: Storage, port: int) -> None:
    """Serve until interrupted; on loopback, because the dashboard asks nobody who they are."""
    import optuna_dashboard

    optuna_dashboard.run_server(storage.optuna, host="127.0.0.1", port=port)
