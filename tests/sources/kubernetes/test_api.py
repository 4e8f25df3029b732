"""What is said when the API server's connection goes wrong, in words that need no knowledge of the client's."""

import contextlib
import socket
import threading

import pytest
import yaml

from scaler.model.errors import SourceError
from scaler.sources.kubernetes.api import ApiServer

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CUT = "the connection was cut off"


@pytest.fixture
def answering():
    """An API server that says these bytes and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def start(said):
            def run():
                with contextlib.suppress(OSError), listener.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(said)

            threading.Thread(target=run, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


def access(folder, address):
    names = {"clusters": [{"name": "c", "cluster": {"server": address}}], "users": [{"name": "u", "user": {}}]}
    context = {"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **names, **context}))
    return ApiServer(path)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", f"the API server cannot be reached: {CUT}"),
        (b"SSH-2.0-server\r\n", "the API server cannot be reached: what it sends is no HTTP"),
        (CHUNKED, f"the API server was lost: {CUT}"),
        (CHUNKED + b"5\r\nab", f"the API server was lost: {CUT}"),
        (CHUNKED + b"\r\n", f"the API server was lost: {CUT}"),
        (CHUNKED + b"zz\r\nab", f"the API server was lost: {CUT}"),
        (OK + b"Content-Length: 10\r\n\r\n{}", f"the API server was lost: {CUT}"),
        (OK + b"Content-Length: 2\r\n\r\nno", "the API server sends what is not JSON: 'no'"),
    ],
)
def test_a_connection_that_ends_early_is_said_in_plain_words(answering, tmp_path, said, told):
    server = access(tmp_path, answering(said))
    with pytest.raises(SourceError) as raised:
        server.get("/api/v1/pods")
    assert str(raised.value) == told


def config(context="a", cluster="c", server="https://127.0.0.1:1", authority="", user="token: x"):
    """A kubeconfig, each of whose parts may be wrong."""
    return f"""
apiVersion: v1
kind: Config
current-context: {context}
contexts: [{{name: a, context: {{cluster: {cluster}, user: u}}}}]
clusters: [{{name: c, cluster: {{server: {server}{authority}}}}}]
users: [{{name: u, user: {{{user}}}}}]
""".encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no such file"),
        (b"", "it holds no keys and values, as `kubectl config view` shows them"),
        (b"- a\n", "it holds no keys and values, as `kubectl config view` shows them"),
        (b"\xff\xfe", "not UTF-8 (byte 0)"),
        (b"a: [", "it is no YAML"),
        (b"[" * 5000, "it is no YAML"),
        (b"a: 1\n", "it has no `current-context` where there must be one"),
        (
            b"current-context: x\ncontexts: 3\nclusters: 3\nusers: 3\n",
            "a value in it does not fit; `kubectl config view` ",
        ),
        (config(context="gone"), "it names `gone`, and its `contexts` have none of that name"),
        (config(cluster="gone"), "it names `gone`, and its `clusters` have none of that name"),
        (
            config(authority=", certificate-authority: /nosuch/ca.crt"),
            "it names /nosuch/ca.crt, and there is no such file",
        ),
        (config(server="''"), "the server of its cluster is ''; allowed: a URL such as https://HOST:6443"),
        (config(server="127.0.0.1:6443"), "the server of its cluster is '127.0.0.1:6443'; allowed: a URL such as "),
        (config(server="ssh://a"), "the server of its cluster is 'ssh://a'; allowed: a URL such as "),
        (
            config(user="exec: {command: nosuch, apiVersion: client.authentication.k8s.io/v1}"),
            "the `exec` plug-in of its user gives no credentials: No such file or directory: 'nosuch'",
        ),
    ],
)
def test_a_kubeconfig_that_cannot_be_read_is_one_sentence_with_its_path(tmp_path, capfd, content, why):
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError) as raised:
        ApiServer(path)
    told = f"no access to Kubernetes: kubeconfig {path} cannot be read: {why.replace('FILE', str(path))}"
    assert str(raised.value).startswith(told)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", ""), "nor does the client say anything beside it"


def test_a_folder_is_no_kubeconfig(tmp_path):
    with pytest.raises(SourceError, match=f"kubeconfig {tmp_path} cannot be read: Is a directory"):
        ApiServer(tmp_path)


def test_what_the_operating_system_says_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError, match="the API server cannot be reached: Connection refused"):
        access(tmp_path, f"http://127.0.0.1:{port}").get("/api/v1/pods")
