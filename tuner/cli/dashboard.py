"""optuna-dashboard for a study database, reachable from this machine only."""

import socket

from tuner.errors import UsageError
from tuner.storage.database import Storage


def serve(storage: Storage, port: int) -> None:
    """Serve until interrupted; on the loopback address, because the dashboard has no login."""
    import optuna_dashboard

    optuna_dashboard.run_server(storage.optuna, host="127.0.0.1", port=port)


def check_port(port: int) -> None:
    """Raise `UsageError` if the port is in use or is not a valid port number."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on port {port}: {error}; choose another --port") from error
