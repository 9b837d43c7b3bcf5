#!/bin/sh
# What `make install` and `make uninstall` do; its variables come from the Makefile.
#
#   scripts/install.sh install | remove
#
# Everything goes below DESTDIR/PREFIX, and refers to other files of it by relative paths: the whole may be moved.
# PREFIX/share/bertlua/installed lists what was put there, folders that were made for it included (with a slash at
# the end). Removing takes exactly that; an installation removes the one before first.
set -eu
umask 022

case $PREFIX in
'' | /*) ;; # none: below DESTDIR itself
*)
    echo "make install: PREFIX is $PREFIX, expected an absolute path, such as $PWD/$PREFIX" >&2
    exit 1
    ;;
esac
case $LIBDIR/ in
"$PREFIX"/*) lib=${LIBDIR#"$PREFIX"/} ;;
*)
    echo "make install: LIBDIR is $LIBDIR, expected a folder below PREFIX ($PREFIX)" >&2
    exit 1
    ;;
esac
target=$DESTDIR$PREFIX
share=share/bertlua
own=$lib/bertlua-$VERSION # what belongs to this library: another version may be installed beside it
list=$target/$share/installed

# Before there was a list: folders that held nothing of anyone else.
remove_unlisted() {
    [ -d "$target/$share/lua/bertlua" ] || return 0
    for tree in bert_configs bindings lua recipes vocab; do rm -rf "${target:?}/$share/$tree"; done
    rm -f "$target"/lib/bertlua/*bertlua* "$target/lib/bertlua/cdef.h" "$target/bin/bertlua" \
        "$target/share/lua/5.1/bertlua.lua"
    rmdir "$target/lib/bertlua" "$target/$share" 2>/dev/null || true
}

remove() {
    [ -f "$list" ] || { remove_unlisted; return 0; }
    # The list is the last file to go: what stops half-way can be run again.
    grep '/$' "$list" | LC_ALL=C sort -r > "$files" || true
    grep -v '/$' "$list" | grep -vxF "$share/installed" | tr '\n' '\0' | (cd "$target" && xargs -0 rm -f)
    rm -f "$list"
    # From the bottom up; those in which someone else has put something stay.
    tr '\n' '\0' < "$files" | (cd "$target" && xargs -0 rmdir 2>/dev/null) || true
}

note() { printf '%s\n' "$1" >> "$list"; }

# Folders are noted if they were not there.
folder() {
    [ -d "$target/$1" ] && return 0
    case $1 in */*) folder "${1%/*}" ;; esac
    mkdir "$target/$1"
    made="$made$1/
"
}

put() { # MODE FILE PLACE
    folder "${3%/*}"
    install -m "$1" "$2" "$target/$3"
    note "$3"
}

link() { # WHERE-TO PLACE
    folder "${2%/*}"
    ln -sf "$1" "$target/$2"
    note "$2"
}

# Folders as they are; hidden files and what editors leave are not ours.
trees() {
    find "$@" -name '.*' -prune -o -type f ! -name '*~' -print | LC_ALL=C sort > "$files"
    while IFS= read -r path; do printf '%s\n' "${path%/*}"; done < "$files" | uniq | while IFS= read -r path; do
        [ -d "$target/$share/$path" ] || printf '%s\n' "$path"
    done > "$files.folders"
    while IFS= read -r path; do folder "$share/$path"; done < "$files.folders"
    # One copy for all: a process for each of some hundred files would take seconds.
    tar -cf - -T "$files" | tar -xf - --no-same-owner -C "$target/$share"
    sed "s|^|$share/|" "$files" >> "$list"
}

install_all() {
    [ ! -f "$list" ] || grep '/$' "$list" > "$files.folders" || true
    remove
    mkdir -p "$target"
    made=
    # Those of the installation before in which someone else has put something.
    if [ -f "$files.folders" ]; then
        while IFS= read -r path; do
            [ ! -d "$target/$path" ] || made="$made$path
"
        done < "$files.folders"
    fi
    folder "$share"
    : > "$list"
    note "$share/installed"

    put 755 "$BUILD/bertlua" bin/bertlua

    # The linker reads the first name, a program the second.
    put 644 "$BUILD/libbertlua.so" "$lib/libbertlua.so.$VERSION"
    link "libbertlua.so.$VERSION" "$lib/libbertlua.so.$ABI"
    link "libbertlua.so.$ABI" "$lib/libbertlua.so"
    put 644 "$BUILD/cdef.h" "$own/cdef.h"
    put 755 "$BUILD/bertlua-hdf5" "$own/bertlua-hdf5"
    for name in libbertlua-mpi.so libbertlua-cuda.so; do
        [ ! -f "$BUILD/$name" ] || put 644 "$BUILD/$name" "$own/$name"
    done

    put 644 engine/bertlua.h include/bertlua/bertlua.h
    for header in engine/api/*.h; do put 644 "$header" "include/bertlua/api/${header##*/}"; done
    # pkg-config takes quoted values; none of the headers includes one of another library, so nothing is required.
    cat > "$files" <<PC
prefix=$PREFIX
libdir=\${prefix}/$lib
includedir=\${prefix}/include

Name: bertlua
Description: BERT encoders in C and LuaJIT
Version: $VERSION
Cflags: -I"\${includedir}/bertlua"
Libs: -L"\${libdir}" -lbertlua
Libs.private: $PRIVATE_LIBS
PC
    put 644 "$files" "$lib/pkgconfig/bertlua.pc"

    put 644 bindings/require.lua share/lua/5.1/bertlua.lua
    trees bert_configs bindings/bertlua examples lua recipes vocab
    for name in convert_from_huggingface convert_to_huggingface quantize seal_shards; do
        put 644 "scripts/$name.lua" "$share/scripts/$name.lua"
    done
    # How bertlua's Lua files find the library, wherever LIBDIR is.
    link "../../$lib/libbertlua.so.$ABI" "$share/libbertlua.so"

    put 644 "$BUILD/bertlua.1" share/man/man1/bertlua.1
    put 644 scripts/completion/bertlua.bash share/bash-completion/completions/bertlua
    put 644 scripts/completion/_bertlua share/zsh/site-functions/_bertlua
    put 644 scripts/completion/bertlua.fish share/fish/vendor_completions.d/bertlua.fish
    printf '%s' "$made" >> "$list"
    echo "installed $target/bin/bertlua"
    [ -n "$DESTDIR" ] || tell_builders
}

tell_builders() {
    # pkg-config has folders of its own, too.
    case ":$(pkg-config --variable pc_path pkg-config 2>/dev/null):${PKG_CONFIG_PATH:-}:" in
    *":$LIBDIR/pkgconfig:"*) ;;
    *) echo "pkg-config does not look into $LIBDIR/pkgconfig: set PKG_CONFIG_PATH=$LIBDIR/pkgconfig" ;;
    esac
    tell_linker
}

# The loader looks into folders that it knows, as of its last ldconfig.
tell_linker() {
    PATH=$PATH:/sbin:/usr/sbin
    case $LIBDIR in
    /lib | /lib/* | /usr/lib | /usr/lib/*) ;;
    *)
        if ! ldconfig -v -N -X 2>/dev/null | grep -qF "$LIBDIR:"; then
            echo "the loader does not look into $LIBDIR: link programs with -Wl,-rpath,$LIBDIR"
            return 0
        fi
        ;;
    esac
    if [ -w /etc/ld.so.cache ]; then ldconfig; else echo "run ldconfig as root, so that programs find libbertlua.so"; fi
}

files=$(mktemp)
trap 'rm -f "$files" "$files.folders"' EXIT
case ${1:-} in
install) install_all ;;
remove)
    if [ ! -f "$list" ] && [ ! -d "$target/$share/lua/bertlua" ]; then
        echo "make uninstall: bertlua is not installed in $target: set the PREFIX and DESTDIR of make install" >&2
        exit 1
    fi
    remove
    echo "removed bertlua from $target"
    ;;
*)
    echo "usage: scripts/install.sh install | remove (by make)" >&2
    exit 1
    ;;
esac
