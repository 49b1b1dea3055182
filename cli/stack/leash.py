"""Runs a program on a leash: when the process that asked for it dies, so does the program.

A script of its own, run by path with `python -I -S`, because nothing but a fresh process can
set this up safely after a fork. What the program writes is its user's own (umask 077). It also
switches to another system user first where asked: the kernel drops the leash at such a switch, so
the order matters.

The leash is Linux's (PR_SET_PDEATHSIG). On other systems the program simply starts; what a
killed supervisor leaves behind there is swept at the next start (see `leftovers`).

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
    # The parent may have died before the leash was on; then nothing would ever pull it.
    if os.getppid() != int(parent):
        sys.exit("The supervisor is gone; not starting.")
    os.execv(command[0], command)  # noqa: S606  # no shell is the point


if __name__ == "__main__":
    main()
