from hpsearch.notebook.ablation import Ablation as Ablation
from hpsearch.notebook.best import Best as Best
from hpsearch.notebook.evaluation import Evaluation as Evaluation
from hpsearch.notebook.models import Model as Model
from hpsearch.notebook.models import load_model as load_model
from hpsearch.notebook.opening import open_study as open_study
from hpsearch.notebook.study import Study as Study

__version__: str
