#!/bin/sh
# SPDX-License-Identifier: MIT
# tests.sh FOLDER: runs the tutorial's programs, which were built into FOLDER,
# and compares what they print with what the tutorial says they print.

programs=$1
here=$(dirname "$0")
tutorial=$here/../../docs/tutorial.md
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failed=0

# said COMMAND: what the tutorial says that a command prints.
said() {
    awk -v wanted="<!-- printed by $1 -->" '
        $0 == wanted { found = 1; next }
        found && /^```text$/ { inside = 1; next }
        inside && /^```$/ { exit }
        inside { print }' "$tutorial"
}

# compare COMMAND [FILE]: it must print that, with FILE as its input.
compare() {
    said "$1" >"$work/said"
    name=${1%% *}
    "$programs/$name" <"$here/sample.log" >"$work/printed" || failed=1
    if [ ! -s "$work/said" ] || ! diff "$work/said" "$work/printed"; then
        echo "FAIL  the tutorial is wrong about: $1"
        failed=1
    else
        echo "ok    $1"
    fi
}

compare "hello"
compare "lines < sample.log"
compare "patterns < sample.log"
compare "logsum < sample.log"

"$programs/logsum" "$here/sample.log" "$here/sample.log" >"$work/twice" &&
    grep -q '^80 lines, 9 patterns$' "$work/twice" || {
    echo "FAIL  two files are summed up together"
    failed=1
}
if "$programs/logsum" /no/such/file >/dev/null 2>&1; then
    echo "FAIL  a missing file is an error"
    failed=1
fi
exit "$failed"
