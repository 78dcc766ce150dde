"""Other tools, used as their documentation shows.

Each peer is a separate program that a benchmark starts. Models and images are those of hpsearch
(``peers.common``); everything else is as in the tool's own tutorial.
"""
