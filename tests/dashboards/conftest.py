"""Studies of every kind, for all tests of pages."""

from tests.dashboards.ablations.study import ablation_folder as ablation_folder
from tests.dashboards.ablations.study import ablation_results as ablation_results
from tests.dashboards.ablations.study import ablation_rows as ablation_rows
from tests.dashboards.collapse.study import collapse as collapse
from tests.dashboards.collapse.study import collapse_folder as collapse_folder
from tests.dashboards.scaling_study import axis_results as axis_results
from tests.dashboards.scaling_study import decay_results as decay_results
from tests.dashboards.scaling_study import depth_results as depth_results
from tests.dashboards.scaling_study import large_results as large_results
from tests.dashboards.scaling_study import other_study as other_study
from tests.dashboards.scaling_study import results as results
from tests.dashboards.scaling_study import study_folder as study_folder
from tests.dashboards.scaling_study import trial_rows as trial_rows
from tests.dashboards.tuning_study import tuning as tuning
from tests.dashboards.tuning_study import tuning_folder as tuning_folder
