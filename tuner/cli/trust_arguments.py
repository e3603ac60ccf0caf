"""Arguments with which people say whom they trust: authors of weights, and those on a network."""

import argparse
import ipaddress

LOOPBACK = "127.0.0.1"
OPEN_WARNING = (
    "warning: the dashboard has no login; whoever reaches {host} on port {port} can read, change "
    "and delete the studies"
)


def add_allow_pickle(parser: argparse.ArgumentParser) -> None:
    """`--allow-pickle` of the commands that load a model."""
    parser.add_argument(
        "--allow-pickle",
        action="store_true",
        help="load weights from pickles (.bin) too, for models whose authors you trust; otherwise "
        "only safetensors are loaded",
    )


def add_host(dashboard: argparse.ArgumentParser) -> None:
    """`--host` of `tuner dashboard`."""
    dashboard.add_argument(
        "--host",
        default=LOOPBACK,
        help="address on which the page is served; another one than the default lets other "
        f"machines read, change and delete studies, without a login (default: {LOOPBACK})",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
