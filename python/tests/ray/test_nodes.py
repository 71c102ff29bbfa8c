"""Clusters of several nodes: one leaves; a driver that is no part of the cluster."""

import json
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import ray
from conftest import Job, eventually
from ray.cluster_utils import Cluster

OF_NODE: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 100 << 20}


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A cluster whose head has no CPUs."""
    ray.shutdown()
    several = Cluster(initialize_head=True, head_node_args={**OF_NODE, "num_cpus": 0})
    yield several
    ray.shutdown()
    several.shutdown()


def test_a_node_leaves(job: Job, nodes: Any) -> None:
    job.faults({"step": "shard 1", "do": "hang", "times": 1}, {"step": "shard 2", "do": "hang", "times": 1})
    first = nodes.add_node(**OF_NODE, num_cpus=2)
    ray.init(address=nodes.address, log_to_driver=False)
    # Nodes are started by the main thread.
    with ThreadPoolExecutor(1) as threads:
        building = threads.submit(job.build)
        eventually(lambda: len(job.alive()) == 2, "both shards hang")
        nodes.add_node(**OF_NODE, num_cpus=2)
        nodes.remove_node(first, allow_graceful=False)
        report = building.result(timeout=120)
    assert report.retries == {1: 1, 2: 1} and job.alive() == []


def test_a_driver_that_is_no_part_of_the_cluster(job: Job) -> None:
    ray.shutdown()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    several = Cluster(initialize_head=True, head_node_args={**OF_NODE, "num_cpus": 2, "ray_client_server_port": port})
    try:
        job.faults({"step": "shard 1", "do": "signal", "signal": 9})
        command = job.arguments("--address", f"ray://127.0.0.1:{port}", "--json")
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["retries"] == {"1": 1} and "shard 1 starts again, retry 1 of 5," in done.stderr
    finally:
        several.shutdown()
