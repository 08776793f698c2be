#!/bin/sh
# SPDX-License-Identifier: MIT
# tests.sh WORDINDEX: tests the word index on small files.

program=$1
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../tests/support/checks.sh"
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2

printf 'the cat\nthe dog and the cat\n' >one
printf 'a dog\n\nThe End of 0xff42 days' >two
printf 'binary\0file\n' >binary
mkdir folder
: >empty

run --repeat 1 --query 'cat dog' --query 'bird' --query 'END' --query '5' one two
check "files are indexed" status_is 0
check "words are counted" out_has '4  the                      in 2 files'
check "all words of a query must be there" out_has '"cat dog": in 1 file'
check "the line with most of them is shown" out_has 'one:2: the dog and the cat'
check "a word in no file is named" out_has 'no file has the word "bird"'
check "case does not matter" out_has 'two:3: The End of 0xff42 days'
check "a query without words is said to be one" out_has 'no word in this query'
check "lines and bytes are counted" out_has '2 files with 5 lines and 57 bytes'

run --repeat 1 one binary empty
check "binary files are left out and no error" status_is 0
check "... with a note" err_has 'binary: is binary (byte 6 is zero); left out'
run --repeat 1 one missing folder
check "a missing file is an error" status_is 1
check "... and is named" err_has 'missing: No such file'
check "a directory is named" err_has 'folder: is a directory'
check "... and the rest is indexed" out_has 'Indexed 1 file '
run missing
check "nothing to index is wrong usage" status_is 2
run
check "no file is wrong usage" status_is 2
run --top x one
check "a number that is none is wrong usage" status_is 2
run --threads 0 one
check "no threads are wrong usage" status_is 2
run --nonsense one
check "an unknown option is wrong usage" status_is 2
run --query
check "an option without its value is wrong usage" status_is 2
run --help
check "help is printed" out_has 'usage: wordindex'
run empty
check "an empty file can be indexed" status_is 0

# However the threads interleave, the answers are the same; and with a
# collection at every chance, too.
"$program" --repeat 1 --threads 1 --top 200 "$here"/*.? >one-thread 2>&1
LOAM_HEAP_MIN=64K LOAM_GROWTH=1 LOAM_TORTURE=collect:20 \
    "$program" --repeat 3 --threads 8 --top 200 "$here"/*.? >many-threads 2>&1
sed '1,/^$/d' one-thread >out
sed '1,/^$/d' many-threads >err
check "answers do not depend on threads or collections" cmp out err
check "... and there are answers" test -s out

checks_end
