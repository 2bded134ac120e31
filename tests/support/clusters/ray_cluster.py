"""A real Ray cluster of two nodes on loopback, of one CPU each, that can lose and gain nodes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

SETTINGS = {
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # 127.0.0.1 is the address of every node
    "RAY_worker_niceness": "0",  # workers would wait for everything else that runs here
    "RAY_TMPDIR": str(Path(tempfile.gettempdir()) / "ray-test"),  # sockets need a short path
}
STORE_BYTES = 80 * 2**20


class RayCluster:
    """Starts with two nodes."""

    def __init__(self) -> None:
        os.environ.update(SETTINGS)
        Path(SETTINGS["RAY_TMPDIR"]).mkdir(exist_ok=True)
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={**self._node(), "include_dashboard": False},
        )
        self.nodes: list[Any] = []
        self.add_node()
        self.cluster.wait_for_nodes(timeout=60)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add_node(self) -> None:
        """Let another node join."""
        self.nodes.append(self.cluster.add_node(**self._node()))

    def kill_node(self) -> None:
        """Kill the node that joined last, with its actors."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def stop(self) -> None:
        import ray

        ray.shutdown()
        self.cluster.shutdown()

    def _node(self) -> dict[str, Any]:
        return {
            "num_cpus": 1,
            "object_store_memory": STORE_BYTES,
            "node_ip_address": "127.0.0.1",
        }
