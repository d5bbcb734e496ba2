import subprocess
import sys

PROGRAM = """
import ctypes, re, sys
from collectors.heap import give_back_what_is_freed

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]


def block(size):
    where = libc.malloc(size)
    ctypes.memset(where, 1, size)
    return where


def mib():
    return int(re.search(r"Rss:\\s+(\\d+)", open("/proc/self/smaps_rollup").read())[1]) / 1024


if sys.argv[1] == "given back":
    give_back_what_is_freed()
libc.free(block(30 * 2**20))  # from now on blocks of this size lie in the heap
before = mib()
table, small = block(25 * 2**20), [block(1000) for _ in range(2000)]
libc.free(table)
print(mib() - before)
"""


def grown_by(how):
    run = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return float(run.stdout)


def test_a_large_table_that_is_freed_leaves_no_hole_in_the_heap():
    assert grown_by("given back") < 10
    assert grown_by("left to itself") > 20
