"""The demo as a user has it: a process of its own, asked by a second one, its report looked at in a real browser."""

import contextlib
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import yaml
from support.prometheus_server import until

from scaler.cli.demo.run import formula
from scaler.cli.main import main

COMMAND = [str(Path(sys.executable).with_name("llm-scaler"))]
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --hide-scrollbars --window-size=1100,1500""".split()


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A short demo: its exit code, its lines, what explain said meanwhile, and its report."""
    folder = tmp_path_factory.mktemp("demo")
    out = folder / "out.txt"
    command = [*COMMAND, "demo", "--seconds", "20", "--report", str(folder / "report.html")]
    with out.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            until(lambda: process.poll() is not None or (" ready" in out.read_text() and explained(out)))
            said = explained(out)
            code = process.wait(40)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
    return code, out.read_text(), said, folder / "report.html"


def explained(out):
    """What explain says in a second terminal, asked as the demo tells; empty while it knows nothing."""
    told = re.search(r"llm-scaler (explain demo/llama.*)", out.read_text())
    if not told:
        return ""
    done = subprocess.run([*COMMAND, *told[1].split()], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout if "llm-d queued of namespace=demo" in done.stdout else ""


def test_the_fleet_is_scaled_from_0_up_and_down_again(played):
    code, text, _said, _report = played
    assert code == 0, text
    assert re.search(r"scaled from 0 to \d+ ready replicas and back to 0", text)


def test_without_a_terminal_it_says_a_line_a_second(played):
    _code, text, _said, _report = played
    lines = [line for line in text.splitlines() if re.match(r" *\d+s  load ", line)]
    assert len(lines) >= 10
    assert all("| " in line and "replica" in line for line in lines)
    assert any("METRICS AWAY" in line for line in lines)
    assert "\x1b" not in text


def test_the_metrics_that_are_away_do_not_lower_it(played):
    """What is wanted while the metrics are away is never below what was wanted before."""
    _code, text, _said, _report = played
    wanted = [(int(m[1]), "METRICS AWAY" in m[0]) for m in re.finditer(r".* (\d+) wanted.*", text)]
    away = [at for at, (_count, dark) in enumerate(wanted) if dark]
    before = wanted[away[0] - 1][0]
    assert all(wanted[at][0] >= min(before, 16) for at in away[1:])


def test_it_ends_with_a_comparison(played):
    _code, text, _said, _report = played
    names = r"llm-scaler, queue-depth|llm-scaler, slo|fixed fleet of \d+|KEDA on queue length 5"
    rows = re.findall(rf" ({names}) +([\d,]+) of ([\d,]+) +([\d.]+)%", text)
    assert len(rows) == 4
    assert len({row[2] for row in rows}) == 1  # the same requests
    depth, slo, _fixed, queue = (float(row[3]) for row in rows)
    assert depth > queue
    assert slo > queue
    assert "formula: slo was given the SLO alone" in text
    assert "was chosen after the fact" in text


def test_explain_works_while_it_runs(played):
    _code, _text, said, _report = played
    assert said.startswith("demo/llama  ")
    assert "formula queue-depth" in said


def test_the_report_is_one_page_that_needs_nothing_else(played):
    page = played[3].read_text()
    assert page.count("<svg") == 4
    assert not re.search(r"<script|<link|<img|https?:|@import|url\(", page)
    assert "metrics away" in page
    assert "The same load, four ways" in page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_report_is_seen_in_a_real_browser(played, tmp_path, dark):
    picture = tmp_path / "report.png"
    mode = ["--blink-settings=preferredColorScheme=0", "--force-dark-mode"] if dark else []
    command = [browser(), *FLAGS, *mode, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}"]
    subprocess.run([*command, played[3].as_uri()], check=True, capture_output=True, timeout=90)
    width, height, rows = pixels(picture)
    assert (width, height) == (1100, 1500)
    colours = {row[at : at + 3] for row in rows for at in range(0, len(row), 3)}
    assert len(colours) > 200  # text is drawn, and so are the plots
    background = rows[5][:3]
    assert (sum(background) < 3 * 60) == dark
    for start, end in ((250, 380), (440, 560), (640, 850), (920, 1050)):  # in every plot something but lines of grey
        coloured = sum(
            max(row[at : at + 3]) - min(row[at : at + 3]) > 60 for row in rows[start:end] for at in range(300, 3000, 3)
        )
        assert coloured > 200


def browser():
    """Chromium, from the system or, the first time, from its packages."""
    found = shutil.which("chromium")
    if not found:
        for step in (["update"], ["install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"]):
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "-q", *step], check=True, capture_output=True, timeout=600, env=quiet)
        found = shutil.which("chromium")
    assert found
    return found


def pixels(path: Path):
    """Width, height and rows of RGB of an 8-bit PNG."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, packed, head = 8, b"", b""
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + size]
        head, packed = (body if kind == b"IHDR" else head), packed + (body if kind == b"IDAT" else b"")
        place += size + 12
    width, height, depth, colour = struct.unpack(">IIBB", head[:10])
    assert (depth, colour in (2, 6)) == (8, True)
    channels = 3 if colour == 2 else 4
    raw, stride = zlib.decompress(packed), width * channels
    rows, before = [], bytes(stride)
    for at in range(height):
        line = unfiltered(
            raw[at * (stride + 1)], raw[at * (stride + 1) + 1 : (at + 1) * (stride + 1)], before, channels
        )
        rows.append(bytes(value for place, value in enumerate(line) if place % channels < 3) if channels == 4 else line)
        before = line
    return width, height, rows


def unfiltered(kind, line, above, channels):
    """One row without its PNG filter (png specification, section 9)."""
    out = bytearray(line)
    for at in range(len(out)):
        left = out[at - channels] if at >= channels else 0
        corner = above[at - channels] if at >= channels else 0
        guess = (0, left, above[at], (left + above[at]) // 2, _paeth(left, above[at], corner))[kind]
        out[at] = (out[at] + guess) & 255
    return bytes(out)


def _paeth(left, up, corner):
    estimate = left + up - corner
    return min((left, up, corner), key=lambda value: abs(estimate - value))


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--seconds", "5", "--speed", "10"], "5 s at 10 times is 50s of the world, too short"),
        (["--seconds", "20", "--load", "25"], "load: 25 is after the end, at 20; allowed: a time before it"),
        (["--seconds", "20", "--kill", "20"], "kill: 20 is after the end, at 20"),
        (["--seconds", "20", "--outage", "30-40"], "outage: 30 is after the end, at 20"),
        (["--seconds", "20", "--report", "/proc/x.html"], "report: /proc/x.html cannot be written: "),
        (["--seconds", "5"], "seconds: 5 is too short for the way up and down; allowed: at least 7"),
    ],
)
def test_what_cannot_be_shown_is_refused(capsys, flags, problem):
    assert main(["demo", *flags]) == 1
    assert problem in capsys.readouterr().err


def test_the_formula_is_the_shipped_one_with_its_time_as_short_as_the_world_is_fast():
    assert yaml.safe_load(formula(10.0))["metrics"]["running"]["over"] == "3s"
    assert yaml.safe_load(formula(60.0))["metrics"]["running"]["over"] == "1s"
