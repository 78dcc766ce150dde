"""Studies in Python: for notebooks, and for scripts. ``hpsearch.open_study`` is the way in.

- ``study``     one study: its trials and curves as pandas frames, its best, its figures
- ``best``      the number that may be told of a study, and what it rests on
- ``launching`` launch and confirm from here, with progress shown
- ``progress``  how a launch is shown: one changing display, or lines
- ``main_file`` worker processes that don't run the caller's script again
- ``overview``  a study at a glance
- ``html``      the few pieces of HTML, escaped
"""
