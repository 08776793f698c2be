# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The checks of ./dev check, cheap ones first. Each prints one line; one that
# fails prints what it saw.

checks_passed=0
checks_failed=0

# step NAME COMMAND... is one check.
step() {
    local name=$1 start=$SECONDS log
    shift
    log=build/log/check-${name//[^a-z0-9]/-}.log
    mkdir -p build/log
    printf '%-38s' "$name"
    if "$@" >"$log" 2>&1; then
        checks_passed=$((checks_passed + 1))
        echo "ok      ($((SECONDS - start)) s)"
    else
        checks_failed=$((checks_failed + 1))
        echo "FAILED  ($((SECONDS - start)) s)"
        head -60 "$log" | sed 's/^/    /'
        [[ $(wc -l <"$log") -le 60 ]] || echo "    … the rest is in $log"
    fi
}

check_format() {
    local wrong
    wrong=$(c_files include src tests bench examples tool |
        xargs clang-format --dry-run -Werror 2>&1 |
        sed -n 's/^\([^ ]*\):[0-9]*:[0-9]*: error: .*/\1/p' | uniq -c)
    [[ -n $wrong ]] || return 0
    echo "These files have so many places that clang-format would change;"
    echo "./dev format changes them:"
    echo "$wrong"
    return 1
}

# Every source starts with its licence, and in src/ code is chosen by file:
# only the OS layer asks for the machine and base/config.h for the build.
check_sources() {
    local file wrong=0
    while read -r file; do
        if ! head -1 "$file" | grep -q '^// SPDX-License-Identifier: MIT$'; then
            echo "$file: its first line is not // SPDX-License-Identifier: MIT"
            wrong=1
        fi
    done < <(c_files include src tests bench examples tool)
    if c_files src | grep -v -e '^src/os/' -e '^src/base/config.h$' |
        xargs grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef)\>'; then
        echo "src/ has no #if outside src/os/ and src/base/config.h."
        wrong=1
    fi
    return $wrong
}

check_scripts() {
    local file
    for file in dev .ci/run scripts/* bench/run bench/driver/*.py; do
        case $file:$(head -1 "$file") in
        *python3 | *.py:*) python3 -c 'import ast, sys
ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" || return ;;
        *) [[ -d $file ]] || bash -n "$file" || return ;;
        esac
    done
}

build_of() {
    configure "$1" && cmake --build "$(build_dir "$1")" -j "$jobs"
}

check_floors() {
    scripts/floors --objects build/check/src/CMakeFiles/loam_objects.dir
}

# scripts/cppcheck.txt suppresses what it gets wrong: it takes an array of
# pointers that a loop fills, and a struct that a call fills, for uninitialised,
# which gcc and clang see right; and it cannot read `asm goto`.
check_cppcheck() {
    cppcheck --quiet --error-exitcode=1 --inline-suppr -j "$jobs" \
        --std=c11 --platform=unix64 -D__x86_64__ -D__linux__ -D__GNUC__=12 \
        -D_GNU_SOURCE -DLM_CHECK_DEFAULT=1 -DLOAM_VERSION_TEXT='""' \
        -I include -I src --enable=warning,performance,portability \
        --suppress=missingIncludeSystem \
        --suppressions-list=scripts/cppcheck.txt src tool examples
}

# One process a file; a file that several targets compile is looked at once.
check_tidy() {
    python3 - build/check/compile_commands.json build/check/tidy <<'END' || return
import json, os, sys
seen = {}
for command in json.load(open(sys.argv[1])):
    seen.setdefault(command["file"], command)
os.makedirs(sys.argv[2], exist_ok=True)
json.dump(list(seen.values()),
          open(os.path.join(sys.argv[2], "compile_commands.json"), "w"))
print(*seen, sep="\n", file=open(os.path.join(sys.argv[2], "files"), "w"))
END
    grep '\.c$' build/check/tidy/files | shuf |
        xargs -P "$jobs" -n 4 clang-tidy --quiet -p build/check/tidy \
            >build/log/tidy.log 2>&1 && return
    grep -A 2 'error:' build/log/tidy.log || cat build/log/tidy.log
    echo "How it came there is in build/log/tidy.log."
    return 1
}

check_all() {
    step "formatting" check_format
    step "licence lines, no #if" check_sources
    step "scripts" check_scripts
    step "documented, reference up to date" scripts/reference check
    step "links of the documents" scripts/links
    step "headers alone, C11 C17 C++17" scripts/headers
    step "a claimed word stays whole" scripts/claim
    step "floors: the check itself" scripts/floors --self-test
    step "gcc without warnings" build_of check
    step "floors" check_floors
    step "exports" scripts/exports build/check/src/libloam.so
    step "clang without warnings" build_of clang
    step "aarch64 without warnings" build_of aarch64
    step "cppcheck" check_cppcheck
    step "clang-tidy" check_tidy
    echo "$checks_passed passed, $checks_failed failed"
    [[ $checks_failed -eq 0 ]]
}
