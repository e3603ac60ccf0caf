"""optuna-dashboard on a study's database, on this machine only."""

import socket

from tuner.errors import UsageError
from tuner.storage.database import Storage


def serve(storage: Storage, port: int) -> None:
    """Serve until interrupted; on loopback, because the dashboard asks nobody who they are."""
    import optuna_dashboard

    optuna_dashboard.run_server(storage.optuna, host="127.0.0.1", port=port)


def check_port(port: int) -> None:
    """Raise `UsageError` where a port is taken or is none."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on port {port}: {error}; give --port another") from error
