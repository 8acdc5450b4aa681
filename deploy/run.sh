#!/usr/bin/env bash
# One program of OLVF as a service runs it: in the project's folder and its environment, by name, with what
# /etc/olvf/olvf.env says where systemd has not read it already.
#   deploy/run.sh code | webserver | daemon | dagster ... | COMMAND OF python -m olvf_assets ...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${OLVF_DATA:-}" ] && [ -r /etc/olvf/olvf.env ]; then
    set -a
    . /etc/olvf/olvf.env
    set +a
fi
umask 077
. ./env.sh
if [ "${1:-}" != dagster ]; then unset DAGSTER_MODULE_NAME; fi
case "${1:-}" in
    code) exec dagster code-server start --socket "$OLVF_CODE_SOCKET" --module-name olvf_assets.definitions --location-name olvf ;;
    webserver) exec dagster-webserver --workspace deploy/workspace.yaml --host 127.0.0.1 --port "${OLVF_PORT:-3000}" ;;
    daemon) exec dagster-daemon run --workspace deploy/workspace.yaml ;;
    dagster) exec "$@" ;;
    *) exec python -m olvf_assets "$@" ;;
esac
