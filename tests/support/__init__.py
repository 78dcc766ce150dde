"""What tests of several parts share (on ``sys.path`` by ``pythonpath`` in pyproject.toml).

- ``postgres``   a real Postgres server for the test run, databases on it
- ``searching``  small studies, spaces, histories and ledgers
"""
