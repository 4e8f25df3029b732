"""Every endpoint is tried at the start: what is wrong is said before any workload needs it, and stops nothing."""

import pytest
from support.process import serving
from support.prometheus_server import until

SETTINGS = """
endpoints:
  default: {{url: "{good}"}}
  token: {{url: "{good}", bearerTokenFile: /nowhere/token}}
  authority: {{url: "https://127.0.0.1:1", caFile: /nowhere/ca}}
  nobody: {{url: "http://127.0.0.1:1"}}
  pages: {{pages: ["https://127.0.0.1:1/metrics"], caFile: /nowhere/ca}}
kubernetes: {{kubeconfig: /nowhere/kubeconfig}}
"""
WRONG = {
    "endpoint token": "the secret in /nowhere/token cannot be read: No such file or directory",
    "endpoint authority": "caFile /nowhere/ca cannot be read",
    "endpoint nobody": "cannot be reached: Connection refused",
    "endpoint pages": "caFile /nowhere/ca cannot be read: No such file or directory",
    "kubernetes kubernetes": "kubeconfig /nowhere/kubeconfig cannot be read",
}


@pytest.mark.real
def test_what_is_wrong_with_an_endpoint_is_said_and_stops_nothing(tmp_path, start_prometheus):
    (tmp_path / "settings.yaml").write_text(SETTINGS.format(good=start_prometheus().url))
    with serving(tmp_path, None, "--settings", str(tmp_path / "settings.yaml")) as server:
        until(lambda: server.get("/readyz?verbose").count("[!]") == len(WRONG))
        lines = server.get("/readyz?verbose").splitlines()
        for name, problem in WRONG.items():
            assert [line for line in lines if line.startswith(f"[!] {name}: ") and problem in line], (name, lines)
        assert lines[0] == "ready"
        assert server.log.read_text().count("endpoint cannot be read") == 4, "each is said once"
        assert server.stop() == 0
