"""The Ray cluster that a build runs on."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

from .options import BuildOptions, OptionError

OBJECT_STORE_BYTES = 100 << 20
"""Nothing but small messages goes through Ray."""


class ClusterError(RuntimeError):
    """There is no cluster to build on."""


@contextlib.contextmanager
def connected(address: str | None, options: BuildOptions) -> Iterator[str]:
    """Connects to a cluster, or starts one on this machine, and gives its description. A connection that was there before stays.

    `address` is that of a cluster, `auto` for the one that runs on this machine or that RAY_ADDRESS names, `local` for a new one; `None` is `auto` if there
    is a cluster, else `local`."""
    # Ray reads this when it is imported: what it starts then listens on the loopback address alone, on Linux too. A driver of other nodes must not.
    if "ray" not in sys.modules and (address == "local" or (address is None and not _is_named())):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"Ray is not installed ({error}); install mempack[ray]") from error
    if ray.is_initialized():
        yield "the cluster that is connected"
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        yield _connect(ray, address, options)
    finally:
        ray.shutdown()


def _is_named() -> bool:
    """Whether something names a cluster: the environment, or the file of `ray start`."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    return "RAY_ADDRESS" in os.environ or any(os.path.exists(os.path.join(place, "ray", "ray_current_cluster")) for place in (folder, "/tmp"))


def _connect(ray: Any, address: str | None, options: BuildOptions) -> str:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address != "local":
        try:
            ray.init(address=address or "auto", **quiet)
            return f"the cluster at {ray.get_runtime_context().gcs_address}"
        except (ConnectionError, ValueError, RuntimeError, ImportError) as error:
            # Ray's own words for no cluster at all; one that does not answer is an error.
            if address is not None or not isinstance(error, ConnectionError) or "RAY_ADDRESS" in os.environ:
                named = f"there is no cluster at {address or os.environ['RAY_ADDRESS']}"
                raise ClusterError(f"{named}: {error}; start one with `ray start --head`, or use --address local") from error
    if options.resources:
        raise OptionError(f"--resource {next(iter(options.resources))}: a cluster on this machine alone has no such resource; name a cluster with --address")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Logical ones: the program may have more threads than the machine has cores.
    workers = options.workers or max(1, (os.cpu_count() or 1) // options.cpus_per_shard)
    cpus = max(workers * options.cpus_per_shard, options.merge_threads)
    ray.init(address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
    return f"a cluster of this machine, for {workers} {'shard' if workers == 1 else 'shards'} at a time"
