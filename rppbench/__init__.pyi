from pluggy import HookimplMarker

from rppbench.api.results import Rows as Rows
from rppbench.api.results import compare as compare
from rppbench.api.results import load_records as load_records
from rppbench.api.runs import plan as plan
from rppbench.api.runs import run as run
from rppbench.errors import UsageError as UsageError
from rppbench.execution.learned_prompt import LearnedPrompt as LearnedPrompt
from rppbench.files.cache_folder import cache_folder as cache_folder

__version__: str
hookimpl: HookimplMarker
