#!/bin/sh
# Unpacks Debian's nginx with Lua into a folder, for spec/examples/openresty_spec.lua.
#
#   scripts/unpack_nginx.sh build/nginx
#
# Nothing is installed: the package of nginx would start a server on port 80, and that of its Lua module takes the place
# of the LuaJIT that bertlua is built with. Does nothing if the folder is there.
set -eu

folder=${1:?usage: scripts/unpack_nginx.sh FOLDER}
[ ! -x "$folder/usr/sbin/nginx" ] || exit 0
packages="nginx libnginx-mod-http-lua libnginx-mod-http-ndk lua-resty-core lua-resty-lrucache libluajit2-5.1-2
          libpcre2-8-0 libpcre3"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt downloads as a user of its own, who must be able to write there.
chmod 755 "$work"
[ "$(id -u)" -ne 0 ] || chown _apt "$work"
download() {
    # shellcheck disable=SC2086 # a list of words
    (cd "$work" && apt-get download -q $packages)
}
# Package lists may be missing or outdated: fetch them only if the first attempt fails.
if ! download; then
    apt-get update -q
    download
fi
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
mkdir -p "$(dirname "$folder")"
mv "$work/root" "$folder"
