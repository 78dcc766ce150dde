"""Charts for the page, one module each: from what a study says to a plotly figure.

A figure is a plain dictionary, which ``plotly.graph_objects.Figure`` accepts as it is; making it
needs no plotly. Each comes with a sentence and a table that say the same.
"""
