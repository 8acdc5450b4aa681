"""A code location with one asset, whose work is done on a cluster, in a run that holds the data folder as ours do."""

from dagster import AssetExecutionContext, Definitions, asset, define_asset_job, in_process_executor

from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets_tests.servers.ray_work import address


@asset(required_resource_keys={"study"})
def work(context: AssetExecutionContext) -> None:
    """Note on which hosts it was done."""
    hosts = sorted(set(parallel_map(address, [1.0] * 6)))
    context.add_output_metadata({"hosts": " ".join(hosts)})


defs = Definitions(
    assets=[work],
    jobs=[define_asset_job("job")],
    resources={"study": StudyResource.at_hand()},
    executor=in_process_executor,
)
