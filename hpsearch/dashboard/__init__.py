"""The dashboard: optuna-dashboard, read-only, on this host's loopback only.

- ``guard``  what may pass: reading requests that name this server
- ``app``    optuna-dashboard behind the guard, and the server
"""
