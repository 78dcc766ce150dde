"""The exit codes of hpsearch's processes. `docs/commands.md` lists them for users.

A job scheduler must distinguish a worker that is done from one that had to stop: 75 and 69 are
``EX_TEMPFAIL`` and ``EX_UNAVAILABLE`` of ``sysexits.h``.
"""

#: Done. Of a worker: the study is finished, or was stopped by ``hpsearch stop``.
DONE = 0

#: The run failed.
FAILED = 1

#: The input is wrong, or something can't be reached at the start. Starting again doesn't help.
WRONG = 2

#: Of a worker: this machine can't train, another may. It has no such GPU, its GPU doesn't compute,
#: or it gives no more memory, processes or disk space.
NODE_UNUSABLE = 69

#: Of a worker: the study isn't finished. It was asked to stop, its time is over, its trial hangs,
#: or the database or the object store doesn't answer.
MORE_TO_DO = 75

#: Ended by Ctrl-C, as in shells.
INTERRUPTED = 130
