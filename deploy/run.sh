#!/usr/bin/env bash
# One program of OLVF as a service runs it: in the project's folder, in its environment, by name.
#   deploy/run.sh webserver | daemon | COMMAND OF python -m olvf_assets ...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ./env.sh
unset DAGSTER_MODULE_NAME
umask 077
case "${1:-}" in
    webserver) exec dagster-webserver --workspace workspace.yaml --host 127.0.0.1 --port "${OLVF_PORT:-3000}" ;;
    daemon)
        python -m olvf_assets register
        exec dagster-daemon run --workspace workspace.yaml
        ;;
    *) exec python -m olvf_assets "$@" ;;
esac
