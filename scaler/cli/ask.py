"""`llm-scaler ask`: play KEDA against a server, with the calls of one poll in KEDA's order."""

import argparse
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from scaler.cli.arguments import pairs, positive
from scaler.model.errors import ConfigError
from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

_ADDRESS = re.compile(r"(?:dns:///)?([\w.-]+|\[[0-9a-fA-F:.%]+\]):[0-9]{1,5}")
LAST_PORT = 65535


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="the trigger's metadata")
    parser.add_argument("--namespace", default="default", help="of the ScaledObject")
    parser.add_argument("--name", default="ask", help="of the ScaledObject")
    parser.add_argument("--timeout", type=positive, default=10.0, metavar="SECONDS")
    parser.add_argument("--ca-file", help="CA of the server's certificate; turns TLS on")
    parser.add_argument("--cert-file", help="our own certificate, for mutual TLS")
    parser.add_argument("--key-file", help="its key")


def check_address(address: str, what: str = "HOST:PORT", example: str = "127.0.0.1:6000") -> None:
    """Refuse what names no server; `what`: the word of the command line that gives it.

    Raises:
        ConfigError: it is not HOST:PORT.
    """
    if not _ADDRESS.fullmatch(address) or int(address.rpartition(":")[2]) > LAST_PORT:
        raise ConfigError("argument", what, f"{address!r} is no address", f"such as {example}")


def run(arguments: argparse.Namespace) -> int:
    """Print the three answers; 1 when one of them is a refusal."""
    check_address(arguments.address)
    tls = ClientTls(arguments.ca_file, arguments.cert_file, arguments.key_file)
    metadata = pairs(arguments.pairs, str)
    lines, good = ask(arguments.address, arguments.namespace, arguments.name, metadata, tls, arguments.timeout)
    print("\n".join(lines))
    return 0 if good else 1


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Files for TLS; all None is plain text."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def channel(self, address: str) -> grpc.Channel:
        """Open a channel to the address.

        Raises:
            ConfigError: one of certificate and key alone, or a file that cannot be read.
        """
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError("argument", "--cert-file", "is one of --cert-file and --key-file", "both or neither")
        if not (self.ca_file or self.cert_file):
            return grpc.insecure_channel(address)
        ca, cert, key = (_read(file) if file else None for file in (self.ca_file, self.cert_file, self.key_file))
        self._refuse_what_is_no_pem()
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert))

    def _refuse_what_is_no_pem(self) -> None:
        """Read the files as OpenSSL does: gRPC itself says nothing that helps, or ends the process.

        Raises:
            ConfigError: one of them holds no certificate, or the key is another's.
        """
        context, files = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), self.ca_file or ""
        try:
            if self.ca_file:
                context.load_verify_locations(self.ca_file)
            if self.cert_file:
                files = f"{self.cert_file} with {self.key_file}"
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:
            problem = "no certificate in PEM" if files == self.ca_file else "no certificate in PEM and its key"
            raise ConfigError(files, "", f"is {problem}") from error


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(file, "", f"cannot be read ({error.strerror})") from error


def ask(
    address: str, namespace: str, name: str, metadata: Mapping[str, str], tls: ClientTls, timeout: float
) -> tuple[list[str], bool]:
    """Make the three calls of one poll.

    Args:
        address: HOST:PORT of the server.
        namespace: of the ScaledObject.
        name: of the ScaledObject.
        metadata: of its trigger.
        tls: how to connect.
        timeout: seconds for each call.

    Returns:
        One line per call, and whether all were answered.
    """
    ref = pb.ScaledObjectRef(namespace=namespace, name=name, scalerMetadata=metadata)
    lines, good = [], True
    with tls.channel(address) as channel:
        stub = pb_grpc.ExternalScalerStub(channel)
        try:
            [spec] = stub.GetMetricSpec(ref, timeout=timeout).metricSpecs
        except grpc.RpcError as error:
            return [f"GetMetricSpec  {_refusal(error)}"], False
        lines.append(f"GetMetricSpec  {spec.metricName}, target {spec.targetSizeFloat:g}")
        try:
            request = pb.GetMetricsRequest(scaledObjectRef=ref, metricName=spec.metricName)
            [value] = stub.GetMetrics(request, timeout=timeout).metricValues
            replicas = value.metricValueFloat or value.metricValue
            lines.append(f"GetMetrics     {replicas:g}, so {replicas:g} replicas")
        except grpc.RpcError as error:
            lines.append(f"GetMetrics     {_refusal(error)}")
            good = False
        try:
            active = stub.IsActive(ref, timeout=timeout).result
            lines.append(f"IsActive       {str(active).lower()}")
        except grpc.RpcError as error:
            lines.append(f"IsActive       {_refusal(error)}")
            good = False
    return lines, good


_NOBODY_SAID = (  # how gRPC's own texts begin, as against those of a server
    "failed to connect",
    "Deadline Exceeded",
    "DNS resolution failed",
    "errors resolving",
    "Trying to connect",
)


def _refusal(error: grpc.RpcError) -> str:
    """Say what was answered; where nobody answered, in words that a person uses rather than gRPC's own."""
    details = str(error.details())
    known = {
        "Connection refused": "nobody listens there",
        "Deadline Exceeded": "no answer came in time",
        "Trying to connect an http1.x server": "it speaks HTTP there, not gRPC; is it the admin port?",
        "DNS resolution failed": "the host is not known",
        "CERTIFICATE_VERIFY_FAILED": "its certificate is not signed by the CA given (--ca-file)",
        "WRONG_VERSION_NUMBER": "it does not speak TLS there; leave out --ca-file",
        "hostname lookup error": "the host is not known",
        "Failed parsing HTTP/2": "it speaks HTTP there, not gRPC; is it the admin port?",
    }
    if not details.startswith(_NOBODY_SAID):
        return f"{error.code().name}: {details}"
    plain = next((text for sign, text in known.items() if sign in details), "the connection failed")
    return f"{error.code().name}: {plain}"
