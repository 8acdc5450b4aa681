#!/usr/bin/env bash
# Make the environment that every make target runs in: `./setup.sh FOLDER`, with PYTHON or the first Python 3.11 on PATH.
# EXTRAS names optional parts of pyproject.toml to install too ("postgres"); what was installed once stays asked for.
# What is missing is said in one line, before anything is made; a set-up that was killed is begun anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
project=$PWD
venv=$1
unfinished=$venv/.olvf-unfinished # lies there while an environment is made
ready=$venv/.olvf-ready           # says where it was made, for which project, packages and extras
wanted="cpython 3.11 64 bit"
another="install one (Debian 12: apt-get install python3.11-venv; pyenv: pyenv install 3.11) or name it with PYTHON="

stop() {
    echo "set-up: $*" >&2
    exit 1
}

# Print what a Python is, such as "cpython 3.11 64 bit", or nothing: shims of pyenv are programs that may not run.
kind_of() {
    "$1" -c 'import sys
print(sys.implementation.name, "%d.%d" % sys.version_info[:2], sys.maxsize.bit_length() + 1, "bit")' 2>/dev/null </dev/null || true
}

makes_environments() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null </dev/null
}

is_environment_with_pip() {
    "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null </dev/null
}

# Set `python`: PYTHON and no other where it is given, else the first python3 or python3.11 on PATH that can be used.
find_python() {
    local candidate kind seen="" bare=""
    while IFS= read -r candidate; do
        kind=$(kind_of "$candidate")
        if [ "$kind" != "$wanted" ]; then
            seen="$seen${seen:+, }$candidate (${kind:-does not run})"
        elif makes_environments "$candidate"; then
            python=$candidate
            return
        else
            bare=${bare:-$candidate}
        fi
    done < <(if [ -n "${PYTHON:-}" ]; then echo "$PYTHON"; else type -aP python3 python3.11 || true; fi)
    [ -z "$bare" ] || stop "$bare has no modules venv and ensurepip (Debian: apt-get install python3.11-venv)"
    stop "Python 3.11 is needed (cpython, 64 bit), there is ${seen:-none on PATH}; $another"
}

# Set `task`: make the environment, make it anew, or complete what is there. An environment that others made is not ours
# to delete; the project's own .venv and what a killed set-up left are.
look_at_environment() {
    local why="" kind made_at
    task=complete
    if [ -e "$unfinished" ]; then
        task=anew
        return
    elif [ ! -e "$venv" ] || { [ -d "$venv" ] && [ -z "$(ls -A "$venv")" ]; }; then
        task=make
        return
    fi
    kind=$(kind_of "$venv/bin/python")
    made_at=$(head -n 1 "$ready" 2>/dev/null || true)
    if [ -n "$kind" ] && [ "$kind" != "$wanted" ]; then
        stop "$venv is of $kind, Python 3.11 is needed: remove it, or name another folder with VENV="
    elif ! is_environment_with_pip; then
        why="is no whole environment of Python"
    elif [ -n "$made_at" ] && ! [ "$made_at" -ef "$venv" ]; then
        why="was made at $made_at, where its programs still look"
    fi
    if [ -n "$why" ]; then
        [ "$venv" = "$project/.venv" ] || stop "$venv $why: remove it, or name another folder with VENV="
        task=anew
    fi
}

is_ready() {
    [ "$(head -n 3 "$ready" 2>/dev/null || true)" = "$stamp" ] && [ ! -e "$unfinished" ] \
        && [ "$(all_extras)" = "$(extras_there)" ] && [ "$(kind_of "$venv/bin/python")" = "$wanted" ]
}

# Print the extras that were installed, such as "dev,postgres".
extras_there() {
    local said=()
    if [ -e "$ready" ]; then mapfile -t said <"$ready"; fi
    echo "${said[3]:-dev}"
}

# Print the extras there, and behind them those that are asked for and are not.
all_extras() {
    local all each
    all=$(extras_there)
    for each in ${EXTRAS//,/ }; do
        case ",$all," in *,"$each",*) ;; *) all=$all,$each ;; esac
    done
    echo "$all"
}

EXTRAS=${EXTRAS:-}
for each in ${EXTRAS//,/ }; do
    [[ $'\n'$(<pyproject.toml) == *$'\n'"$each = ["* ]] || stop "EXTRAS=$EXTRAS: pyproject.toml has no extra $each"
done
stamp=$(printf '%s\n' "$venv" "$project" && cat pyproject.toml constraints.txt | cksum)
if is_ready; then exit 0; fi
exec 9<pyproject.toml
if command -v flock >/dev/null && ! flock --nonblock 9; then
    echo "set-up: another one is at work in this folder, waiting for it" >&2
    flock 9
    if is_ready; then exit 0; fi
fi
look_at_environment
extras=$(all_extras)
if [ "$task" = complete ]; then
    rm -f "$ready"
else
    find_python
    if [ "$task" = anew ]; then
        echo "set-up: $venv is half made or broken and is made anew" >&2
        rm -rf "$venv"
    fi
    mkdir -p "$venv"
    touch "$unfinished"
    trap 'rm -rf "$venv"' EXIT
    "$python" -m venv "$venv" || stop "$python could not make the environment $venv, see above"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$extras]" \
    || stop "the packages could not be installed, see above"
printf '%s\n' "$stamp" "$extras" >"$ready"
rm -f "$unfinished"
trap - EXIT
