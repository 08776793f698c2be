#!/bin/sh
# SPDX-License-Identifier: MIT
# quoted.sh ROOT DOCUMENT...: checks that the C code in the documents is code
# that is compiled. Before each block stands where it is from,
#
#     <!-- from examples/list/list.c -->
#
# and it must stand in that file, line for line.

root=$1
shift
cd "$root" || exit 2
for document; do
    awk -v document="$document" '
        function content(path,   text, line) {
            if (!(path in contents)) {
                text = "\n"
                while ((getline line < path) > 0) text = text line "\n"
                contents[path] = text
            }
            return contents[path]
        }
        function refuse(what) {
            printf "%s:%d: %s\n", document, start, what
            failed = 1
        }
        /^<!-- from .* -->$/ { from = $3; next }
        !inside && /^```c$/ { inside = 1; start = NR; block = "\n"; next }
        inside && /^```$/ {
            inside = 0
            count++
            if (from == "") refuse("no \"from FILE\" stands before this code")
            else if (content(from) == "\n") refuse(from " cannot be read")
            else if (index(content(from), block) == 0)
                refuse("this code is not in " from)
            from = ""
            next
        }
        inside { block = block $0 "\n"; next }
        NF > 0 { from = "" }
        END {
            printf "%s: %d pieces of code\n", document, count
            exit failed
        }' "$document" || failed=1
done
exit "${failed:-0}"
