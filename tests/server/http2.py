"""HTTP/2 frames as a stranger writes them, who keeps to no rule (RFC 9113): calls that are reset, never read, never sent."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def hello(window=None):
    """What opens a connection; `window`: bytes that may be sent to us on each stream."""
    return PREFACE + frame(SETTINGS, payload=b"" if window is None else struct.pack(">HI", 4, window))


def header(name, value):
    """A header that is written out, not longer than 126 bytes."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(method, message, stream=1, ends=True):
    """A whole call: its headers and its message."""
    path = f"/externalscaler.ExternalScaler/{method}".encode()
    given = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"x"}
    given |= {b"te": b"trailers", b"content-type": b"application/grpc"}
    headers = b"".join(header(name, value) for name, value in given.items())
    body = message.SerializeToString()
    sent = frame(DATA, END_STREAM if ends else 0, stream, b"\x00" + struct.pack(">I", len(body)) + body)
    return frame(HEADERS, END_HEADERS, stream, headers) + sent


def reset(stream):
    return frame(RESET, 0, stream, struct.pack(">I", 8))
