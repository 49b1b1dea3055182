"""Runs a program that is killed when the process that started it dies.

It is a separate script, run by path with `python -I -S`, because only a new process can set this up
safely after a fork. Only their owner can read the files that the program writes (umask 077). If a
system user is given, the script switches to that user first, because the kernel clears the death
signal when the user changes.

Linux only (PR_SET_PDEATHSIG). On other systems the program starts without a death signal, and the
next start of the stack ends processes that outlived a killed supervisor (`state.ProcessList`).

Arguments: PARENT_PID SIGNAL_NUMBER USER_OR_EMPTY PROGRAM [ARGUMENT...]
"""

import ctypes
import os
import pwd
import sys

_SET_PARENT_DEATH_SIGNAL = 1


def main() -> None:
    """Set up this process and replace it with the program."""
    parent, signal_number, user, *command = sys.argv[1:]
    os.umask(0o077)
    if user:
        entry = pwd.getpwnam(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal_number))
    # The kernel sends no signal if the parent died before the call above.
    if os.getppid() != int(parent):
        sys.exit("The supervisor has ended; the program is not started.")
    os.execv(command[0], command)  # noqa: S606  # exec without a shell is intended


if __name__ == "__main__":
    main()
