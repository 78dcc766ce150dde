"""Studies in Python, for notebooks and scripts. ``hpsearch.open_study`` is the entry point.

- ``opening``   ``open_study``
- ``study``     one study: its trials, curves, best and figures; launches it
- ``frames``    trials and epochs as pandas frames
- ``best``      the best value of a study, and how reliable it is
- ``ablation``  what each setting of the winner is worth
- ``models``    ``load_model``, and a model: labels pictures, has the ``nn.Module``
- ``evaluation``  the winner on the test images
- ``launching`` launches, confirms and ablates, and shows the progress
- ``progress``  shows a launch: one changing display, or lines
- ``overview``  a short overview of a study
- ``html``      pieces of HTML, escaped
- ``figures``  the charts of a report as plotly figures
"""
