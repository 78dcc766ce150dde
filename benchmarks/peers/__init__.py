"""What people use otherwise, written as its documentation shows it.

Each peer is a program of its own, started by a benchmark. Models and pictures are the same as ours
(``peers.common``); everything else is what the tool's own tutorial does.
"""
