#!/usr/bin/env bash
# Install the Debian packages of packages.txt that are missing. Says in one line what it installs, or why it cannot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stop() {
    echo "test-servers: $*" >&2
    exit 1
}

command -v apt-get >/dev/null && command -v dpkg-query >/dev/null \
    || stop "needs a Debian system, apt-get is not here; \`make test\` needs none of it"
missing=()
while IFS= read -r package; do
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done < <(grep --invert-match '^#' packages.txt)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo --non-interactive true 2>/dev/null; }; then
    as_root=(sudo)
else
    stop "the Debian packages ${missing[*]} are missing, and installing them needs root or sudo"
fi
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet=2 --no-install-recommends
    -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=30)
echo "test-servers: installs the Debian packages ${missing[*]}"
log=$(mktemp)
policy=
trap 'rm -f "$log"; [ -z "$policy" ] || "${as_root[@]}" rm -f "$policy"' EXIT
# Debian starts a server as soon as it is installed, and on all addresses: neither now nor at a boot.
servers=()
for server in nginx orthanc postgresql; do
    [[ " ${missing[*]} " != *" $server "* ]] || servers+=("$server")
done
if [ ${#servers[@]} -gt 0 ] && [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi
{ "${apt[@]}" update && "${apt[@]}" install "${missing[@]}"; } >"$log" 2>&1 \
    || stop "the Debian packages ${missing[*]} could not be installed: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
for server in "${servers[@]}"; do
    for off in "systemctl disable $server" "update-rc.d $server disable"; do
        command -v "${off%% *}" >/dev/null && "${as_root[@]}" $off >/dev/null 2>&1 || true
    done
done
