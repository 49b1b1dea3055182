"""Runs a program that is killed when the process that started it dies.

A script of its own, run by path with `python -I -S`: only a fresh process can set this up safely
after a fork. Files that the program writes are readable by their user alone (umask 077). Where a
system user is named, the script switches to that user first: the kernel clears the death signal at
such a switch, so the order matters.

Linux only (PR_SET_PDEATHSIG). On other systems the program simply starts; processes that outlive a
killed supervisor are ended at the next start (`state.ProcessList`).

Arguments: PARENT_PID SIGNAL_NUMBER USER_OR_EMPTY PROGRAM [ARGUMENT...]
"""

import ctypes
import os
import pwd
import sys

_SET_PARENT_DEATH_SIGNAL = 1


def main() -> None:
    """Set everything up and become the program."""
    parent, signal_number, user, *command = sys.argv[1:]
    os.umask(0o077)
    if user:
        entry = pwd.getpwnam(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal_number))
    # No signal comes if the parent died before the call above.
    if os.getppid() != int(parent):
        sys.exit("The supervisor is gone; not starting.")
    os.execv(command[0], command)  # noqa: S606  # no shell is the point


if __name__ == "__main__":
    main()
