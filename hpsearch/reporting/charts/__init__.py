"""Charts for the page, one module each: from a study's content to a plotly figure.

A figure is a plain dictionary, which ``plotly.graph_objects.Figure`` accepts unchanged; making it
doesn't need plotly. Each has a sentence and a table with the same content.
"""
