#!/usr/bin/env bash
# Run a command on a network of its own that holds nothing but its loopback: whatever listens there, nobody outside
# reaches it, though it bind to all addresses as Orthanc does. Ends with the command; nothing of it stays.
set -euo pipefail
for ways in "--net" "--net --map-root-user"; do
    # shellcheck disable=SC2086
    if unshare $ways ip link set lo up 2>/dev/null; then
        exec unshare $ways sh -c 'ip link set lo up && exec "$@"' alone "$@"
    fi
done
echo "test-servers: no network of their own can be made for the servers (unshare --net); run as root, or let users make
namespaces: sysctl kernel.unprivileged_userns_clone=1" >&2
exit 1
