# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# checks.sh: tests of a command, each a sentence. Sourced by a script that has
# set `program`, the command's path.

failures=0

# check SENTENCE COMMAND...: the command must succeed.
check() {
    sentence=$1
    shift
    if "$@"; then
        echo "ok    $sentence"
    else
        echo "FAIL  $sentence"
        sed 's/^/        out: /' out 2>/dev/null
        sed 's/^/        err: /' err 2>/dev/null
        failures=$((failures + 1))
    fi
}

# run ARGUMENT...: runs the command, keeping out, err and $status.
run() {
    "$program" "$@" >out 2>err
    status=$?
}

status_is() { [ "$status" -eq "$1" ]; }
out_has() { grep -qF -- "$1" out; }
err_has() { grep -qF -- "$1" err; }

# checks_end counts what failed, and ends the script.
checks_end() {
    [ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }
    echo "all passed"
    exit 0
}
