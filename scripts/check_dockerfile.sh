#!/bin/bash
# Runs a Dockerfile step by step in chroots, for machines without docker, then commands as `docker run` would.
#
#   scripts/check_dockerfile.sh scripts/Dockerfile.cpu [COMMAND ...]
#
# Each COMMAND is one argument: what stands behind the image's name, such as "demo --phase1-steps 20"; the entry point
# comes before it, as the image's user, with the folder DATA (a new one) as /data, which is kept. Needs root and
# debootstrap; BUILD_ARGS="ARCH=native" are --build-arg's. Debian's and Ubuntu's base images are made by debootstrap,
# without documentation, as those are. CUDA is not part of them: in NVIDIA's images, the folder CUDA_HOME
# (/usr/local/cuda) of this machine stands in for theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${PLATFORMS:-/var/tmp/bertlua-platforms}
fail() { echo "check_dockerfile: $*" >&2; exit 1; }
[ $# -ge 1 ] || fail "usage: scripts/check_dockerfile.sh DOCKERFILE [COMMAND ...]"
[ "$(id -u)" -eq 0 ] || fail "chroots need root"
dockerfile=$1
shift

roots=()
mount_in() {
    mount -t proc proc "$1/proc"
    mount --bind /dev "$1/dev"
    mkdir -p "$1/dev/shm"
    mount -t tmpfs shm "$1/dev/shm"
    cp /etc/resolv.conf "$1/etc/"
    roots+=("$1")
}
unmount_all() {
    local root place
    for root in "${roots[@]}"; do
        for place in data usr/local/cuda dev/shm dev proc; do
            ! mountpoint -q "$root/$place" || umount "$root/$place"
        done
    done
}
trap unmount_all EXIT

# What the arguments and the environment of the image are, by name.
declare -A args=() env=() stage=()
given=" ${BUILD_ARGS:-} "
expanded() { # TEXT with the variables that ARG and ENV set
    local text=$1 name
    for name in "${!args[@]}"; do
        text=${text//\$\{$name\}/${args[$name]}}
        text=${text//\$$name/${args[$name]}}
    done
    printf '%s' "$text"
}

from() { # IMAGE [AS NAME]
    local image suite mirror base options=(--variant=minbase)
    image=$(expanded "$1")
    case $image in
    debian:*) suite=${image#debian:} suite=${suite%-slim} mirror=http://deb.debian.org/debian ;;
    nvidia/cuda:*ubuntu22.04)
        suite=jammy mirror=http://archive.ubuntu.com/ubuntu
        options+=("--components=main,universe")
        ;;
    *) fail "FROM $image: a base that this script cannot make" ;;
    esac
    base=$work/base-$suite
    if [ ! -e "$base/bertlua-ready" ]; then
        command -v debootstrap >/dev/null || fail "no debootstrap: apt-get install debootstrap"
        rm -rf --one-file-system "$base"
        debootstrap "${options[@]}" "$suite" \
            "$base" "$mirror" > "$work/base.log" 2>&1 || fail "debootstrap failed: see $work/base.log"
        printf 'path-exclude=/usr/share/%s/*\n' doc man > "$base/etc/dpkg/dpkg.cfg.d/docker"
        touch "$base/bertlua-ready"
    fi
    root=$work/image-${3:-final}
    rm -rf --one-file-system "$root"
    cp -a "$base" "$root"
    mount_in "$root"
    case $image in
    nvidia/*)
        [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ] || fail "FROM $image: no nvcc in ${CUDA_HOME:-/usr/local/cuda}"
        mkdir -p "$root/usr/local/cuda"
        mount --bind "$(readlink -f "${CUDA_HOME:-/usr/local/cuda}")" "$root/usr/local/cuda"
        ;;
    esac
    stage[${3:-final}]=$root
    folder=/ user=root args=() env=()
}

execute() { # WORD ... in the image, as its user
    local list=() name
    for name in "${!env[@]}"; do list+=("$name=${env[$name]}"); done
    for name in "${!args[@]}"; do list+=("$name=${args[$name]}"); done
    # shellcheck disable=SC2016 # the inner shell's
    chroot --userspec="$user" "$root" env -i \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/cuda/bin \
        DEBIAN_FRONTEND=noninteractive HOME=/tmp "${list[@]}" sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
}

copy() { # [--from=STAGE] SOURCE ... PLACE
    local source_root="" place=${*: -1} file
    case $1 in --from=*) source_root=${stage[${1#--from=}]} && shift ;; esac
    case $place in /*) place=$root$place ;; *) place=$root$folder/$place ;; esac
    mkdir -p "$place"
    for file in "${@:1:$#-1}"; do
        if [ -n "$source_root" ]; then
            cp -a "$source_root${file%/}/." "$place"
        elif [ "$file" = . ]; then
            git archive HEAD | tar -xf - -C "$place" # what .dockerignore leaves
        else
            cp "$file" "$place"
        fi
    done
}

step() { # INSTRUCTION REST
    local name value words
    echo "== $1 $2"
    case $1 in
    FROM) read -ra words <<< "$2"; from "${words[@]}" ;;
    ARG)
        name=${2%%=*} value=${2#*=} value=${value%\"} value=${value#\"}
        case $given in *" $name="*) value=${given##* "$name"=} value=${value%% *} ;; esac
        args[$name]=$value
        ;;
    ENV) env[${2%%=*}]=${2#*=} ;;
    WORKDIR) folder=$2 && mkdir -p "$root$folder" ;;
    USER) user=$2 ;;
    COPY) read -ra words <<< "$2"; copy "${words[@]}" ;;
    RUN) execute sh -c "$2" ;;
    ENTRYPOINT) entry=${2//[][\"]/} ;;
    CMD) default=${2//[][\"]/} ;;
    *) fail "$dockerfile: no $1 in this script" ;;
    esac
}

mkdir -p "$work"
entry="" default="" whole=""
while IFS= read -r line; do
    case $line in '#'* | '') continue ;; esac
    whole+=$line
    case $line in *\\) whole=${whole%\\}; continue ;; esac
    step "${whole%% *}" "${whole#* }"
    whole=""
done < "$dockerfile"

data=${DATA:-$(mktemp -d)}
mkdir -p "$data"
mkdir -p "$root/data"
mount --bind "$data" "$root/data"
user=$(stat -c %u:%g "$data") # as docker run --user $(id -u):$(id -g)
[ $# -gt 0 ] || set -- "$default"
args=()
for command in "$@"; do
    echo "== docker run $command"
    # shellcheck disable=SC2086 # words, as on a command line
    execute $entry $command
done
echo "what is left in $data:"
find "$data" -maxdepth 3 | head -n 20
