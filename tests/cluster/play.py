"""Start the laboratory with a simulated model, say where everything is, and stop it all on Ctrl-C (`make lab`)."""

import signal
import sys

from cluster.build import BuildError
from cluster.lab import LOGS, Lab
from cluster.objects import model, node_pool
from cluster.process import LabError
from cluster.simulation import Simulation

from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware


def main() -> None:
    """Run until interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a plain kill cleans up, too; a shell's & would have ignored Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        with Lab() as lab:
            lab.apply([*node_pool(), model("llama", lab.fleet.port, load="20s", replicas=1)])
            with Simulation(lab, "llama", FleetSpec(hardware("a100-8b-bf16"))) as fleet:
                _tell(lab)
                _obey(fleet)
    except KeyboardInterrupt:
        print(f"\nlab: stopped; the logs are in {LOGS}")
    except (BuildError, LabError) as error:
        sys.exit(f"lab: {error}")


def _tell(lab: Lab) -> None:
    print(
        f"kubectl     {lab.site.bin}/kubectl --kubeconfig={lab.kubeconfig}",
        f"Prometheus  {lab.prometheus_url}",
        f"gateway     http://{lab.fleet.gateway}/metrics",
        f"logs        {lab.home}/logs",
        "Type a number to have so many requests per second arrive; Ctrl-C stops everything.",
        sep="\n",
        flush=True,
    )


def _obey(fleet: Simulation) -> None:
    """Set the load to what is typed; wait for the end of time when nobody can type."""
    for line in sys.stdin:
        try:
            fleet.send(rate=float(line))
        except ValueError:
            print("a number, please: requests per second")
        seen = fleet.snapshot()
        print(f"ready {seen.ready}, queued {seen.queued}, waiting {seen.waiting}, running {seen.running}", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
