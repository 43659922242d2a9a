"""Stops one thread of a process for a while, and lets all others run.

freeze.py THREAD SECONDS    ends when the time is over or the thread is gone
"""

import ctypes
import os
import sys
import time

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
libc = ctypes.CDLL(None, use_errno=True)


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None):
        raise SystemExit(f"ptrace {request:#x}: {os.strerror(ctypes.get_errno())}")


libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
thread, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
ptrace(SEIZE, thread)
ptrace(INTERRUPT, thread)
os.waitpid(thread, 0x40000000)
print("frozen", flush=True)
while time.monotonic() < end:
    if os.waitpid(thread, os.WNOHANG | 0x40000000)[0]:
        sys.exit()
    time.sleep(0.02)
ptrace(DETACH, thread)
