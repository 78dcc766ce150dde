"""Charts for the page, one module each: from a study's content to a plotly figure.

A figure is a plain dictionary, which ``plotly.graph_objects.Figure`` accepts unchanged; making it
doesn't need plotly. Each has a sentence and a table with the same content.

- ``ablation``  the effects that an ablation measured, with their intervals
- ``confusion``  which classes are mistaken for which, and how two finalists differ
- ``effects``  the effect of each parameter on the objective, and the pairs that depend on each
  other
- ``finalists``  the finalists of a confirmation: values in the search, and with fresh seeds
- ``groups``  trials by model or another branch: every trial a dot, and the best one's curves
- ``history``  the course of the search: every trial at its end, and the best so far
- ``importances``  each parameter's share of the objective's variation
- ``learning_curves``  the objective after each epoch: a line for each of the best trials, the
  others as a backdrop
- ``lines``  lines over epochs: zoomed to where they differ, with labels at their ends
- ``parallel``  parallel coordinates: each trial is a line through its settings, coloured by its
  value
- ``studies``  several studies in one chart
- ``style``  common parts of all charts: a layout without colours of its own, axes, margins
- ``tradeoffs``  the objective against costs: each trial by its value and one cost, and the front
- ``winner_curves``  accuracy, loss and times of the winner's epochs, training beside validation
"""
