# Source this file (". ./env.sh") to use dagster's own commands on this project.
# It names the study view, so do not start `dagster dev` from the same shell: `make ui` does that.
OLVF_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]:-${(%):-%x}}")" && pwd)
. "${VENV:-$OLVF_ROOT/.venv}/bin/activate"
export DAGSTER_HOME="${DAGSTER_HOME:-$OLVF_ROOT/data/dagster}"
mkdir -p "$DAGSTER_HOME" && ln -sf "$OLVF_ROOT/dagster.yaml" "$DAGSTER_HOME/dagster.yaml"
export DAGSTER_MODULE_NAME=olvf_assets.study
# Dagster's advice on its own commands and parameters; both commands of the README are meant.
PYTHONWARNINGS="${PYTHONWARNINGS:+$PYTHONWARNINGS,}ignore:Function \`asset_materialize_command\` is superseded"
export PYTHONWARNINGS="$PYTHONWARNINGS,ignore:Parameter \`include_sources\` of function \`AssetSelection.all\` is"
export YOLO_OFFLINE=true GX_ANALYTICS_ENABLED=false
