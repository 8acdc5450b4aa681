"""The gate alone, as a code location of its own: the room `intake` and the warehouse, no synthetic hospital."""

from dagster import Definitions

from olvf_assets.orchestration import console
from olvf_assets.orchestration.graph import all_checks, all_tables
from olvf_assets.orchestration.kubernetes import executor
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.views import build_assets
from olvf_assets.phantom.settings import PhantomSettings
from olvf_assets.profiles import Profile, load_profile
from olvf_assets.reporting.assets import warehouse_of
from olvf_assets.storage.lake import Lake
from olvf_assets.storage.places import data_folder

TABLES = [each for each in all_tables() if each.room == "intake"]
NAMES = {each.name for each in TABLES}
CHECKS = [each for each in all_checks() if {each.table, *each.reads} <= NAMES]


class RealHospitals(StudyResource):
    """Every landing folder is a real hospital's."""

    @property
    def profile(self) -> Profile:
        return load_profile(self.profile_name).model_copy(update={"phantom": PhantomSettings()})


defs = Definitions(
    assets=build_assets("study", [*TABLES, warehouse_of(TABLES)], CHECKS, ["warehouse"]),
    resources={
        "study": RealHospitals(profile_name="ci", data_folder=str(data_folder())),
        "lake": Lake(base_dir=str(data_folder() / "lake" / "tables")),
    },
    executor=executor(),
    loggers={console.NAME: console.console_logger(data_folder())},
)
