#!/bin/sh
# Installs the Debian packages that bertlua needs and that are not installed yet.
#
#   scripts/install_dependencies.sh [build] [mpi] [test] [lint] [docs] [fuzz] [demo] [serve] [shells]
#
# Lists the missing packages first; asks for root (sudo) only if there are any;
# does nothing if all are installed. On another system it prints which packages
# to look for and leaves the rest to the compiler.
set -eu

build="gcc make pkg-config libc6-dev luajit libluajit-5.1-dev libdnnl-dev libhdf5-dev libicu-dev libedit-dev
       libbz2-dev zlib1g-dev libcurl4-openssl-dev libjansson-dev lua-cjson lua-filesystem lua-posix"
mpi="libopenmpi-dev openmpi-bin"
serve="lua-http"
test="lua-busted $mpi $serve iproute2 xz-utils zstd"
lint="lua-check clang-format cppcheck"
docs="lua-ldoc lua-discount"
fuzz="clang libclang-rt-dev"
demo="jargon-text"
shells="mandoc fish zsh"

wanted=""
for group in "${@:-build}"; do
    case $group in
    build) wanted="$wanted $build" ;;
    mpi) wanted="$wanted $mpi" ;;
    test) wanted="$wanted $test" ;;
    lint) wanted="$wanted $lint" ;;
    docs) wanted="$wanted $docs" ;;
    fuzz) wanted="$wanted $fuzz" ;;
    demo) wanted="$wanted $demo" ;;
    serve) wanted="$wanted $serve" ;;
    shells) wanted="$wanted $shells" ;;
    *)
        echo "install_dependencies: unknown group $group; expected build, mpi, test, lint, docs, fuzz, demo, serve or shells" >&2
        exit 1
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    echo "install_dependencies: not a Debian system: make sure you have the equivalents of" $wanted >&2
    exit 0
fi

missing=""
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "Missing Debian packages:$missing"
root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install_dependencies: run as root: apt-get install$missing" >&2
        exit 1
    fi
    echo "Installing them requires root: sudo may ask for your password."
    root=sudo
fi

export DEBIAN_FRONTEND=noninteractive
install() {
    # shellcheck disable=SC2086 # a list of words
    $root apt-get install -y -q --no-install-recommends $missing
}
# Package lists may be missing or outdated: fetch them only if the first attempt fails.
if ! install; then
    $root apt-get update -q
    install
fi
