"""Memory of the C library: threads share it, and what is free goes back. Each in a process of its own, since it stays."""

import subprocess
import sys

FREED = """
import ctypes
from pathlib import Path
from scaler.cli.memory import give_back

def held():
    return int(Path("/proc/self/statm").read_text().split()[1])

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
pieces = [libc.malloc(16_000) for _ in range(5000)]
for piece in pieces:
    ctypes.memset(piece, 1, 16_000)
for piece in pieces[:-1]:  # the last one stays above them all
    libc.free(piece)
before = held()
give_back()
print(before, held())
"""

THREADS = """
import ctypes
import threading
from pathlib import Path
from scaler.cli.memory import keep_few_arenas

keep_few_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
together = threading.Barrier(8)

def work():
    libc.malloc(1000)
    together.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
said = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, said)
libc.fclose(said)
"""


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_what_is_free_goes_back_to_the_system():
    before, after = map(int, run(FREED).split())
    assert after < before / 2


def test_many_threads_share_two_arenas():
    assert run(THREADS).count("<heap nr=") == 2
    assert run(THREADS.replace("\nkeep_few_arenas()", "")).count("<heap nr=") > 2
