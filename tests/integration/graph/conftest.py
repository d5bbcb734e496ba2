import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[2] / "unit" / "collectors"), str(Path(__file__).parents[1] / "prometheus")]
