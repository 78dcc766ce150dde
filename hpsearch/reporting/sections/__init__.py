"""The parts of a study's report, from content to blocks; an empty part gives the reason.

- ``answer``  the answer in sentences, and the most important numbers
- ``architectures``  trials by model, or by another branch of the space
- ``experiment``  what ablations measured: the answer by experiment
- ``failures``  failed trials, and draws that couldn't be built
- ``images``  classes that are mistaken for each other, label errors, the hardest pictures
- ``parameters``  parameters: importances, effects, pairs, and the objective against costs
- ``reproduce``  how to repeat the study: commands, seeds, hashes, versions
- ``running``  the course of the search: overfitting, pruning, and costs
- ``studies``  several studies side by side, such as the stages of a staged search
- ``training``  the winner's training: curves, times, the layers of its model
- ``trials``  every trial: the leaderboard, the curves, the course of the search, the settings
- ``winner``  the winner, its value, and its comparisons; with several objectives the front
"""
