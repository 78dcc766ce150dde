"""Confirming a search's winner: the finalists are trained again with fresh seeds.

- ``confirmation``  choosing the finalists, storing the confirmation, running it
- ``plan``          what a worker needs of the plan: the finalist of a ticket, and the next round
"""
