#!/bin/sh
# SPDX-License-Identifier: MIT
# tests.sh LOAM: tests the command with programs that write canned reports.
#
# Each test is a sentence; the last line counts what failed.

program=$1
[ -x "$program" ] || { echo "usage: tests.sh PATH-OF-LOAM" >&2; exit 2; }
. "$(dirname "$0")/../tests/support/checks.sh"

folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 2
mkdir tmp
TMPDIR=$folder/tmp
LC_ALL=C
export TMPDIR LC_ALL
unset LOAM_REPORT LOAM_LOG LOAM_HEAP_MAX LOAM_HEAP_MIN LOAM_GROWTH NO_COLOR

err_lacks() { ! grep -qF -- "$1" err; }
file_has() { grep -qF -- "$2" "$1"; }
err_is_empty() { [ ! -s err ]; }
nothing_is_left() { [ -z "$(ls -A tmp)" ]; }

cat >good.report <<'END'
loam-report 1
collection_count 14
allocated_bytes 432013312
allocated_count 9812331
heap_peak_bytes 42991616
live_bytes 13002342
live_count 140122
pause_median_ns 420000
pause_p99_ns 1900000
pause_max_ns 2100000
collector_cpu_ns 44000000
process_cpu_ns 1420000000
minor_count 11
minor_pause_max_ns 310000
full_count 2
full_pause_max_ns 2100000
concurrent_count 1
concurrent_pause_max_ns 640000
compaction_count 3
moved_count 189004
moved_bytes 35127296
compaction_pause_max_ns 890000
track kernel userfaultfd and PAGEMAP_SCAN passed the probe
a_figure_of_a_newer_library 7
elapsed_ns 1490000000
type 120011 5760528 201000 9648000 struct posting
type 23101 5544240 25000 6000000 struct word "quoted\"
type 7010 1697574 9586331 416365312 (leaf)
end
END

sed 's/^track .*/track none userfaultfd refuses to register memory: Cannot allocate memory/' \
    good.report >refused.report

# A program that leaves a report behind as one that uses Loam does.
cat >writes <<'END'
#!/bin/sh
cp "$1" "$LOAM_REPORT"
exit "${2:-0}"
END
chmod +x writes

# ---- The report -------------------------------------------------------------

run run -- ./writes good.report
check "a program that wrote a report has its status passed on" status_is 0
check "the report names the program" err_has "writes"
check "the report counts collections" err_has "collections     14"
check "the report shows the median pause" err_has "median 420 us"
check "the report shows the 99th percentile" err_has "percentile 1.90 ms"
check "the report shows the longest pause" err_has "longest 2.10 ms"
check "the report tells the kinds of collections apart" err_has \
    "collections     14: 11 minor, 2 full, 1 concurrent"
check "the report shows the longest pause of each kind" err_has \
    "minor 310 us, full 2.10 ms, concurrent 640 us"
check "the report shows compactions, what they moved and their pauses" \
    err_has "compactions     3, 189,004 objects of 33.5 MiB moved, longest pause 890 us"
check "the report says how writes are tracked, and why" err_has \
    "write tracking  kernel: userfaultfd and PAGEMAP_SCAN passed the probe"
check "the report shows what was allocated" \
    err_has "412 MiB in 9,812,331 objects, 277 MiB a second"
check "the report shows what lives" err_has "12.4 MiB in 140,122 objects"
check "the report shows the heap's peak" err_has "heap peak       41.0 MiB"
check "the report shows the collector's share" err_has "3.1 % of the processor"
check "the report shows resident memory" err_has "peak resident"
check "the report lists types" err_has "struct posting"
check "bars are ASCII where nobody looks" err_has "####"
check "no colours where nobody looks" err_lacks "$(printf '\033')"
check "no line is longer than 80 columns" \
    test "$(awk '{ if (length > m) m = length } END { print m }' err)" -le 80
check "the program's output is left alone" test ! -s out
check "no file is left behind" nothing_is_left

run run -- ./writes refused.report
check "the report gives the whole reason why writes are not tracked" err_has \
    "none: userfaultfd refuses to register memory: Cannot allocate memory"

run run ./writes good.report 7
check "a failing program has its status passed on" status_is 7
check "its report is shown all the same" err_has "exit status 7"

run run --quiet ./writes good.report 3
check "--quiet prints nothing" err_is_empty
check "--quiet passes the status on" status_is 3

run run --report kept ./writes good.report
check "--report leaves standard error alone" err_is_empty
check "--report writes the file" file_has kept "collections     14"

run run --quiet --report=kept.json --json ./writes good.report
check "--json gives figures" file_has kept.json '"collection_count":14,'
check "--json gives types" file_has kept.json \
    '{"name":"struct posting","live_count":120011,'
check "--json quotes names" file_has kept.json 'struct word \"quoted\\\"'
check "--json gives the arguments" file_has kept.json \
    '"program":"./writes","arguments":["good.report"],"exit_status":0'
check "--json says how writes are tracked" file_has kept.json \
    '"track":"kernel","track_reason":"userfaultfd and'
if command -v python3 >/dev/null; then
    check "--json is JSON" python3 -c \
        'import json; r = json.load(open("kept.json")); assert r["reason"] is None'
fi

sed 's/^type 7010.*//; /^$/d; s/^type.*word.*/type 1 1 1 1 \x1b[31m\xff\xc3\xa9/' \
    good.report >odd.report
run run ./writes odd.report
check "names cannot command the terminal" err_lacks "$(printf '\033')"
run run --json ./writes odd.report
if command -v python3 >/dev/null; then
    check "names that are not UTF-8 still give JSON" \
        python3 -c 'import json; json.load(open("err", encoding="utf-8"))'
fi

grep -v '^type' good.report >none.report
run run ./writes none.report
check "a report without types is shown" err_has "collections     14"

sed 's/^type \([0-9]*\) [0-9]* /type \1 0 /' good.report >dead.report
run run ./writes dead.report
check "bars measure allocation where nothing lives" err_has "of allocated"

{
    sed '/^end/d' good.report
    for i in 1 2 3 4 5 6 7 8 9; do echo "type 1 16 1 16 struct t$i"; done
    echo end
} >many.report
run run ./writes many.report
check "further types are summed up" err_has "2 more types"

printf 'loam-report 1\ncollection_count 0\nend\n' >zero.report
run run ./writes zero.report
check "a program that never collected is shown" err_has "none"

# ---- Reports that are none --------------------------------------------------

# broken NAME SENTENCE EXPECTED: NAME.report must be refused.
broken() {
    run run ./writes "$1.report" 4
    check "$2" err_has "$3"
    check "... and the status is passed on" status_is 4
    check "... and nothing is left" nothing_is_left
}

sed '/^end/d' good.report >endless.report
broken endless "a report without an end is refused" 'there is no "end"'
head -c 100 good.report >cut.report
broken cut "a report cut off in a line is refused" "breaks off in the middle"
sed '1s/1/2/' good.report >newer.report
broken newer "a report of another version is refused" "differ in version"
echo 'hello' >other.report
broken other "another file is refused" 'line 1 is "hello"'
sed '3s/ .*/ many/' good.report >words.report
broken words "a figure that is no number is refused" \
    'line 3 has no whole number after "allocated_bytes"'
sed '3s/ .*/ -5/' good.report >minus.report
broken minus "a negative figure is refused" "line 3 has no whole number"
sed '3s/ .*/ 99999999999999999999999/' good.report >huge.report
broken huge "a figure that is too large is refused" "line 3 has no whole number"
sed '3s/ .*//' good.report >alone.report
broken alone "a name without a figure is refused" "line 3 is"
sed 's/^track .*/track kernel/' good.report >mute.report
broken mute "tracking without a reason is refused" "line 23 says not how"
sed 's/^type 7010 .*/type 7010 12 leaf/' good.report >short.report
broken short "a type with too few numbers is refused" "line 28 is no type"
sed 's/^type 7010 .*/type 7010 1 2 3 /' good.report >nameless.report
broken nameless "a type without a name is refused" "line 28 is no type"
: >empty.report
broken empty "an empty report is none" "no figures"

# ---- Programs that write no report ------------------------------------------

run run -- sh -c 'exit 5'
check "a program without Loam is named as such" err_has "does not use Loam"
check "... with its status" status_is 5
check "... with what to do" err_has "pkg-config"

printf '#!/bin/sh\nexit 0\n' >script
chmod +x script
run run ./script
check "a script is named as such" err_has "is a script"

run run -- sh -c 'kill -SEGV $$'
check "a killed program gives 128 and the signal" status_is 139
check "... and is named as such" err_has "was killed by signal 11"

run run --json -- sh -c 'kill -TERM $$'
check "--json tells the signal" err_has '"exit_status":null,"signal":15'
check "--json says why there is no report" err_has '"report":null,"reason":"no'

run run --quiet -- sh -c 'exit 6'
check "--quiet says nothing about it" err_is_empty
check "... and passes the status on" status_is 6

cp /bin/sh with-loam && printf 'libloam.so.0' >>with-loam
run run ./with-loam -c 'exit 0'
check "a program that left by _exit is told so" err_has "left without writing"

# ---- Programs that cannot be run --------------------------------------------

run run no-such-program-anywhere
check "a program that is nowhere gives 127" status_is 127
check "... and is named" err_has "there is no program no-such-program-anywhere"
run run ./no-such-file
check "a file that is not there gives 127" status_is 127
echo text >text
run run ./text
check "a file that cannot be executed gives 126" status_is 126
printf '#!/no/such/interpreter\n' >lost
chmod +x lost
run run ./lost
check "a script without its interpreter gives 126" status_is 126
check "... and is explained" err_has "interpreter"
check "nothing is left behind" nothing_is_left

# ---- Options ----------------------------------------------------------------

run run --heap-max 64M --heap-min=1M --growth 50 --log gc -- sh -c \
    'echo $LOAM_HEAP_MAX $LOAM_HEAP_MIN $LOAM_GROWTH $LOAM_LOG'
check "settings become environment variables" out_has "64M 1M 50 gc"
run run -- sh -c 'echo "${LOAM_HEAP_MAX-unset} $*"' x --json --
check "the program's options are its own" out_has "unset --json --"

for bad in '--heap-max lots' '--heap-max 12Q' '--heap-max=' '--growth 0' \
    '--growth 1.5' '--growth 100001' '--heap-max 1MM' '--heap-max i' '--log all' '--heap-min -1' '--nonsense' '--report' \
    '--report=/no/such/folder/file' ''; do
    # The words are meant to be split.
    # shellcheck disable=SC2086
    case $bad in
    --report | '') run run $bad ;;
    *) run run $bad ./writes good.report ;;
    esac
    check "\"run $bad\" is refused with 125" status_is 125
    check "... in words" err_has "loam: run:"
done
TMPDIR=/no/such/folder
run run ./writes good.report
TMPDIR=$folder/tmp
check "no folder for temporary files gives 125" status_is 125
check "... and says where" err_has "/no/such/folder"

run version
check "version prints a version" out_has "loam 0."
run help
check "help lists commands" out_has "loam run PROGRAM"
run help run
check "help run lists options" out_has "--heap-max"
run run --help
check "run --help does too" out_has "--heap-max"
run
check "no command is wrong usage" status_is 2
run frobnicate
check "an unknown command is wrong usage" status_is 2
check "... and is named" err_has '"frobnicate"'
run help frobnicate
check "help on an unknown command is wrong usage" status_is 2

# ---- Signals ----------------------------------------------------------------

# The program says when it is ready; then we signal the command.
cat >waits <<'END'
#!/bin/sh
trap 'echo got it >heard; kill "$sleeper"; exit 9' USR1
sleep 60 &
sleeper=$!
echo ready >ready.fifo
wait
END
chmod +x waits
mkfifo ready.fifo
"$program" run --quiet ./waits >out 2>err &
tool=$!
read -r _ <ready.fifo
kill -USR1 "$tool"
wait "$tool"
status=$?
check "a signal is passed on" test -f heard
check "... and the program's answer comes back" status_is 9

echo
checks_end
