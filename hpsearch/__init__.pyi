from hpsearch.notebook.best import Best as Best
from hpsearch.notebook.study import Study as Study
from hpsearch.notebook.study import open_study as open_study

__version__: str
