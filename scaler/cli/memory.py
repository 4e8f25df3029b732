"""Memory that is free already, and that the C library keeps for the process: strangers' calls make it much.

A call that waits costs gRPC some 25 kB with its connection, so a flood takes hundreds of megabytes for a moment. All of
it is freed, but glibc keeps an arena of such pieces for every few threads and gives none of them back by itself
(mallopt(3), malloc_trim(3)). Other C libraries have neither function, and nothing happens there.
"""

import ctypes

M_ARENA_MAX = -8  # of malloc.h
ARENAS = 2  # of which each grows to the most that it ever held


def keep_few_arenas() -> None:
    """Let all threads share a few arenas. To be called before there are threads: arenas stay."""
    _call("mallopt", M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Give what is free back to the system; 500 MB take some 0.1 s, in which other threads go on."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    """Call a function of the C library, if it has it."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
