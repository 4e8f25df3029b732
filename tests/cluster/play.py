"""Start the laboratory, say where everything is, and stop it on Ctrl-C (`make lab`)."""

import signal
import sys

from cluster.build import BuildError
from cluster.lab import LOGS, Lab
from cluster.objects import model, node_pool
from cluster.process import LabError


def main() -> None:
    """Run until interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a plain kill cleans up, too; a shell's & would have ignored Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        with Lab() as lab:
            lab.apply([*node_pool(), model("llama", lab.fleet.port, load="10s", replicas=2)])
            print(
                f"kubectl     {lab.site.bin}/kubectl --kubeconfig={lab.kubeconfig}",
                f"Prometheus  {lab.prometheus_url}",
                f"gateway     http://{lab.fleet.gateway}/metrics",
                f"logs        {lab.home}/logs",
                "Ctrl-C stops it all.",
                sep="\n",
                flush=True,
            )
            signal.pause()
    except KeyboardInterrupt:
        print(f"lab: stopped; the logs are in {LOGS}")
    except (BuildError, LabError) as error:
        sys.exit(f"lab: {error}")


if __name__ == "__main__":
    main()
