"""The door to a Dask cluster: reach a scheduler at an address, or have a cluster made by a class; refuse early."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dslab.runner.selection import Refused

CONNECT_SECONDS = 20.0  # to reach a scheduler, and to reach it again after the connection was lost
ANSWER_SECONDS = 10.0  # for whoever answers to say that it is a scheduler
CLOSE_SECONDS = 10.0
INSTALL = "pip install 'dslab-course[cluster]'"


class Door:
    """How to get in, and out again. name: the address or the class, for people."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cluster: Any = None  # one that we started, and therefore end

    def open(self) -> Any:
        """A connected `distributed.Client`. Raises Refused."""
        raise NotImplementedError

    def close(self, client: Any) -> None:
        """Leave, whatever state the other side is in; end the cluster where it is ours."""
        for thing in (client, self.cluster):
            if thing is not None:
                with contextlib.suppress(Exception):
                    thing.close(timeout=CLOSE_SECONDS)
        self.cluster = None

    def _client(self, target: Any) -> Any:
        from distributed import Client

        # Its log repeats, at length, what we say in one sentence; refusals and ClusterGone carry the reason.
        for part in ("client", "core", "comm", "utils"):
            logging.getLogger(f"distributed.{part}").setLevel(logging.CRITICAL)
        return Client(target, timeout=CONNECT_SECONDS, set_as_default=False)


class AddressDoor(Door):
    """A scheduler that somebody else has started."""

    def open(self) -> Any:
        parts = urlsplit(self.name)
        advice = "start one with `dask scheduler`, which prints its address, or give the right address"
        try:
            socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=5).close()
        except OSError as error:
            raise Refused(f"no Dask scheduler answers at {self.name} ({error.strerror or error}); {advice}") from None
        kind = _kind(self.name)
        if kind != "Scheduler":
            raise Refused(f"what answers at {self.name} is no Dask scheduler but {kind}; {advice}")
        return self._client(self.name)


class ClassDoor(Door):
    """A cluster of our own, made by a class of Dask's packages."""

    def __init__(self, name: str, make: Any, options: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.make, self.options = make, dict(options)

    def open(self) -> Any:
        workers = self.options.pop("workers", None)
        from dask import config

        config.set({"distributed.worker.preload": ["dslab.runner.cluster_worker"]})  # its dask_setup
        try:
            self.cluster = self.make(**self.options)
            if workers is not None:
                self.cluster.scale(workers)
        except Exception as error:
            raise Refused(
                f"{self.name} could not be started with the study's [cluster] table {self.options} "
                f"({type(error).__name__}: {error})"
            ) from None
        return self._client(self.cluster)


def _kind(address: str) -> str:
    """Who answers at an address, in Dask's words or ours. A `Client` would wait for a silent one without an end."""
    from distributed import rpc
    from distributed.security import Security

    async def ask() -> str:
        async with rpc(address, connection_args=Security().get_connection_args("client")) as server:
            return str((await server.identity())["type"])

    async def ask_briefly() -> str:
        return await asyncio.wait_for(ask(), ANSWER_SECONDS)

    try:
        return asyncio.run(ask_briefly())
    except TimeoutError:
        return f"somebody who said nothing that Dask understands for {ANSWER_SECONDS:.0f} s"
    except Exception as error:
        return f"something else ({type(error).__name__}: {error})"


def door_for(target: str, options: Mapping[str, Any]) -> Door:
    """The door that an address or a name means. Raises Refused; nothing is started or reached yet."""
    try:
        importlib.import_module("distributed")
    except ImportError:
        raise Refused(f"--cluster needs the package distributed: {INSTALL}") from None
    if "://" in target:
        return AddressDoor(_checked(target))
    module, _, name = target.rpartition(":" if ":" in target else ".")
    if not module or not name.isidentifier():
        raise Refused(f"--cluster takes tcp://host:port, or a class as in distributed:LocalCluster; got {target!r}")
    try:
        make = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise Refused(
            f"--cluster {target}: no module {error.name or module} here; install Dask's package for your cluster "
            "(Slurm and others: dask-jobqueue; Kubernetes: dask-kubernetes)"
        ) from None
    except AttributeError:
        raise Refused(f"--cluster {target}: the module {module} has no class {name}") from None
    if not (callable(make) and hasattr(make, "scale")):
        raise Refused(f"--cluster {target} is no Dask cluster class (it has no `scale`)")
    return ClassDoor(target, make, options)


def _checked(address: str) -> str:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("tcp", "tls") and parts.hostname and parts.port
    except ValueError:  # a port that is no number
        good = None
    if not good:
        raise Refused(f"--cluster takes an address as in tcp://127.0.0.1:8786 (or tls://…); got {address!r}")
    return address
