"""What tests of several parts share (on ``sys.path`` by ``pythonpath`` in pyproject.toml).

- ``postgres``   a real Postgres server for the test run, databases on it
- ``searching``  small studies and histories
- ``spaces``     random search spaces, and what it means to lie inside one
- ``ledger``     workers without training: claims and fenced writes by hand
- ``processes``  what tests run in processes of their own, all at the same moment
- ``trials``     whole trials in this process, run by the workers' own code
- ``launches``   real launches, watched through the ledger and disturbed
- ``forked_command``  a command in a process that begins with everything imported
- ``watching``, ``watched_shell``  what other users of a machine see of hpsearch's processes
"""
