"""A module per command: each parses, calls the floors below, and prints.

Searching:

- ``init``        a study file for the user's own pictures
- ``check``       whether a study file is right, and what there is to search in it; ``schema``
- ``data``        which images there are, and decoding them before a search
- ``launch``      the search itself; ``worker`` and ``stop``
- ``before_deadline``  what a launch under a deadline does beside its workers
- ``after_search``  what follows its search, stage by stage
- ``fleets``      the workers that an engine keeps alive: ``scale``, ``logs``
- ``planned``     what the next two share
- ``confirm``     the best trials again, with fresh seeds
- ``ablate``      the winner with one setting changed at a time, with fresh seeds
- ``learn``       results from elsewhere, for a study's sampler
- ``prior``       the user's own priors
- ``invalidate``  a trial whose value can't be trusted stops counting

Reading:

- ``status``      how far a study is, once or repeatedly
- ``studies``     study files by name, and stored studies; their deletion
- ``storage``     copying studies to another database
- ``show``        every trial of a study, or one of them on a page
- ``report``      everything about a study, as a page, figures and tables
- ``dashboard``   the studies in a browser
- ``doctor``      whether a stored study is consistent, and its repair

The winner:

- ``export``      the winner as files that need no database
- ``evaluate``    the winner on the test images
- ``predict``     the classes of pictures
- ``train``       a frozen config once more
- ``verify``      whether a frozen config reproduces its data and metrics
"""
