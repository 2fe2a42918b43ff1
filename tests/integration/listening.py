"""Where a process and all that it started listen."""

import contextlib

import psutil


def listening_addresses(pid: int) -> set[str]:
    """Return the IP addresses at which a process and its descendants take connections by TCP."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    addresses = set()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            sockets = process.net_connections("tcp")
            addresses |= {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN}
    return addresses
