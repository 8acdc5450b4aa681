# Source this file (". ./env.sh") to use dagster's own commands on this project.
# It names the study view, so do not start `dagster dev` from the same shell: `make ui` does that.
OLVF_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]:-${(%):-%x}}")" && pwd)
. "${VENV:-$OLVF_ROOT/.venv}/bin/activate"
export DAGSTER_HOME="${DAGSTER_HOME:-$OLVF_ROOT/data/dagster}"
mkdir -p "$DAGSTER_HOME"
# Where Dagster keeps its books: `sqlite`, files in DAGSTER_HOME, or `postgres` (docs/operations.md); `ray`: in
# PostgreSQL, and runs of the UI go to a cluster (docs/scale.md). What was said last holds; a dagster.yaml there that is
# no link is your own and stays.
case "${OLVF_DAGSTER:-$(readlink "$DAGSTER_HOME/dagster.yaml")}" in
    postgres | */dagster.postgres.yaml) OLVF_BOOKS=dagster.postgres.yaml ;;
    ray | */dagster.ray.yaml) OLVF_BOOKS=dagster.ray.yaml ;;
    "" | sqlite | */dagster.yaml) OLVF_BOOKS=dagster.yaml ;;
    *) echo "OLVF_DAGSTER is sqlite, postgres or ray, not $OLVF_DAGSTER" >&2; return 1 ;;
esac
if [ ! -e "$DAGSTER_HOME/dagster.yaml" ] || [ -L "$DAGSTER_HOME/dagster.yaml" ]; then
    ln -sf "$OLVF_ROOT/$OLVF_BOOKS" "$DAGSTER_HOME/dagster.yaml"
fi
if [ "$OLVF_BOOKS" = dagster.ray.yaml ]; then
    export OLVF_RAY_JOBS="${OLVF_RAY_JOBS:-http://127.0.0.1:8265}" # where the head takes jobs: its dashboard
    export OLVF_ENGINE="${OLVF_ENGINE:-ray}" RAY_USAGE_STATS_ENABLED=0
fi
if [ "$OLVF_BOOKS" != dagster.yaml ]; then
    export OLVF_POSTGRES_HOST="${OLVF_POSTGRES_HOST:-127.0.0.1}" OLVF_POSTGRES_PORT="${OLVF_POSTGRES_PORT:-5432}"
    export OLVF_POSTGRES_DATABASE="${OLVF_POSTGRES_DATABASE:-olvf}" OLVF_POSTGRES_USER="${OLVF_POSTGRES_USER:-olvf}"
    export OLVF_POSTGRES_PASSWORD="${OLVF_POSTGRES_PASSWORD:-}" # empty: ~/.pgpass, or the file that PGPASSFILE names
fi
unset OLVF_BOOKS
export DAGSTER_MODULE_NAME=olvf_assets.study
# Dagster's advice on its own commands and parameters; both commands of the README are meant.
PYTHONWARNINGS="${PYTHONWARNINGS:+$PYTHONWARNINGS,}ignore:Function \`asset_materialize_command\` is superseded"
export PYTHONWARNINGS="$PYTHONWARNINGS,ignore:Parameter \`include_sources\` of function \`AssetSelection.all\` is"
export YOLO_OFFLINE=true GX_ANALYTICS_ENABLED=false
