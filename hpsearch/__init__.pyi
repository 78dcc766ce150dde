from hpsearch.notebook.best import Best as Best
from hpsearch.notebook.opening import open_study as open_study
from hpsearch.notebook.study import Study as Study

__version__: str
