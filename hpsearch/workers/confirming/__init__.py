"""Confirming a search's winner: the finalists are trained again with fresh seeds.

- ``confirmation``  choosing the finalists, storing what is asked, running it
- ``plan``          what a worker asks of the plan: whose turn a ticket is, and what comes next
"""
