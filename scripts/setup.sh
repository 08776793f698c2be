# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Packages, configuring and building; for ./dev, which sources it.

jobs=$(nproc 2>/dev/null || echo 2)

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "dev: $*"
    exit 1
}

# What each Debian package is recognised by: a command, or a file (a pattern).
package_sign() {
    case $1 in
    build-essential) echo g++ ;;
    ninja-build) echo ninja ;;
    gcc-aarch64-linux-gnu) echo aarch64-linux-gnu-gcc ;;
    libc6-dev-arm64-cross) echo /usr/aarch64-linux-gnu/include/stdio.h ;;
    libcmocka-dev) echo /usr/include/cmocka.h ;;
    libgc-dev) echo /usr/include/gc.h ;;
    libmimalloc-dev) echo /usr/include/mimalloc.h ;;
    golang-go) echo go ;;
    openjdk-17-jdk-headless) echo javac ;;
    libglib2.0-dev) echo /usr/include/glib-2.0/glib-object.h ;;
    libpython3-dev) echo /usr/include/python3*/Python.h ;;
    libclang-rt-14-dev) echo "/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a" ;;
    *) echo "$1" ;;
    esac
}

package_is_there() {
    local sign
    sign=$(package_sign "$1")
    case $sign in
    /*) compgen -G "$sign" >/dev/null ;;
    *) command -v "$sign" >/dev/null ;;
    esac
}

# Set once a package was installed: then CMake has to look around again.
installed=

# need PACKAGE... installs those that are missing, or says which they are.
need() {
    local package missing=() as_root=()
    for package in "$@"; do
        package_is_there "$package" || missing+=("$package")
    done
    [[ ${#missing[@]} -eq 0 ]] && return
    command -v apt-get >/dev/null ||
        die "saw that these are missing: ${missing[*]} (Debian's names).
     Install them with this system's package manager, then try again."
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null ||
            die "saw that packages are missing and that there is no sudo.
     Run as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "Installing ${missing[*]}"
    mkdir -p build/log
    if ! {
        "${as_root[@]}" apt-get update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y --no-install-recommends "${missing[@]}"
    } >build/log/apt.log 2>&1; then
        tail -20 build/log/apt.log >&2
        die "could not install ${missing[*]} (the end of build/log/apt.log is above)."
    fi
    installed=1
}

# need_if_possible PACKAGE... does without those that cannot be installed.
need_if_possible() {
    local package
    for package in "$@"; do
        package_is_there "$package" && continue
        if (need "$package"); then
            installed=1
        else
            say "Going on without $package."
        fi
    done
}

need_to_build() {
    need build-essential cmake ninja-build
}
need_to_test() {
    need_to_build
    need pkg-config libcmocka-dev python3
}
# Languages and libraries that single benchmarks are compared with, and what
# samples where time goes.
# shellcheck disable=SC2034
peers=(golang-go openjdk-17-jdk-headless libglib2.0-dev libpython3-dev linux-perf)
need_to_bench() {
    need_to_build
    need pkg-config python3 libgc-dev libmimalloc-dev
}

build_dir() {
    [[ $1 == release ]] && echo build || echo "build/$1"
}

# quietly LOG COMMAND... shows what the command printed only if it fails.
quietly() {
    local log=build/log/$1.log
    shift
    mkdir -p build/log
    "$@" >"$log" 2>&1 && return
    cat "$log" >&2
    return 1
}

# configure PRESET [-DNAME=VALUE...] runs CMake where something has changed.
configure() {
    local preset=$1 made
    made=$(build_dir "$preset")/build.ninja
    shift
    if [[ $# -gt 0 || -n $installed || ! -f $made || CMakePresets.json -nt $made ]]; then
        quietly "configure-$preset" cmake --preset "$preset" "$@" || return
        touch "$made"
    fi
}

# configure_release PART... makes sure that the release build has these parts
# (TESTS, BENCH). What it has already it keeps; the parts that nobody has asked
# for stay out, since their packages may be missing.
configure_release() {
    local part options=() changed=$installed
    for part in TESTS BENCH; do
        local now=OFF
        if [[ -f build/build.ninja ]]; then
            now=$(sed -n "s/^LOAM_BUILD_$part:[A-Z]*=//p" build/CMakeCache.txt)
        else
            changed=1
        fi
        if [[ " $* " == *" $part "* && $now != ON ]]; then
            now=ON
            changed=1
        fi
        options+=("-DLOAM_BUILD_$part=${now:-OFF}")
    done
    [[ CMakePresets.json -nt build/build.ninja ]] && changed=1
    [[ -z $changed ]] || configure release "${options[@]}"
}

# build_preset PRESET [TARGET...]
build_preset() {
    local preset=$1 target targets=()
    shift
    for target in "$@"; do
        targets+=(--target "$target")
    done
    quietly "build-$preset" cmake --build "$(build_dir "$preset")" \
        -j "$jobs" "${targets[@]}"
}

# text_files prints the names of the repository's text files, each followed by
# a zero byte.
text_files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z
    else
        find . -type f -not -path './build*' -not -path './.git/*' -print0
    fi | xargs -0 grep -IlZ . 2>/dev/null || true
}

# c_files prints the names of the C and C++ files in folders, one a line.
c_files() {
    local folder
    for folder in "$@"; do
        [[ -d $folder ]] && find "$folder" -name '*.[ch]' -o -name '*.cpp' | sort
    done
    return 0
}
