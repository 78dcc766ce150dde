"""Studies in Python: for notebooks, and for scripts. ``hpsearch.open_study`` is the way in.

- ``opening``   ``open_study``
- ``study``     one study: its trials and curves, its best, its figures; launching it
- ``frames``    trials and epochs as pandas frames
- ``best``      the number that may be told of a study, and what it rests on
- ``launching`` launch and confirm from here, with progress shown
- ``progress``  how a launch is shown: one changing display, or lines
- ``main_file`` worker processes that don't run the caller's script again
- ``overview``  a study at a glance
- ``html``      the few pieces of HTML, escaped
"""
