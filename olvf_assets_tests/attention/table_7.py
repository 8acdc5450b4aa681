"""Table 7 of the thesis: mean red channel of 48 sections by predicted class, section 1 first."""

import numpy as np

from olvf_assets.reporting.thesis_figures import section_means

TABLE_7 = {name: np.array(grid, dtype=np.float64).ravel() for name, grid in section_means().items()}
