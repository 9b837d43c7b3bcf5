#!/bin/bash
# Builds, tests and measures bertlua on the systems and CPUs of its users, as far as one x86-64 machine can be them.
#
#   scripts/check_platforms.sh [ROW ...]     those rows, or all of them; then the table
#   scripts/check_platforms.sh --measure ROW ...   only the measurements of rows that were built before
#   scripts/check_platforms.sh --list        the rows
#   scripts/check_platforms.sh --table       the table of what was found so far
#   scripts/check_platforms.sh --docs        writes that table into docs/platforms.md
#
# Needs root, debootstrap, and for arm64 qemu-user-static with binfmt-support. Other systems are chroots in
# PLATFORMS (/var/tmp/bertlua-platforms; 2 GB each), and stay there: a second run of a row builds only what changed.
# Other CPUs are builds for them (ARCH, without kernels for newer ones), with oneDNN held to their instructions
# (ONEDNN_MAX_CPU_ISA); arm64 is a Cortex-A57, which has what every 64-bit ARM has. Containers are control groups of this
# machine. All specs are `make test`; SPECS="spec/engine/ops ..." runs fewer, SPECS=none none; DEMO=whole runs the demo to
# its end, and not a shorter one, DEMO=none no demo; MEASURE=none measures nothing, for a machine that others use.
#
# Checks what is committed. What a row wrote is in PLATFORMS/log/ROW.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${PLATFORMS:-/var/tmp/bertlua-platforms}
mirror=${MIRROR:-http://deb.debian.org/debian}
ubuntu_mirror=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}

# What is tried, each row: suite architecture ARCH ISA compiler "packages" kind
rows='debian12          bookworm amd64 native    DEFAULT gcc   -     cpu
debian12-avx2     bookworm amd64 x86-64-v3 AVX2    gcc   -     cpu
debian12-sse4     bookworm amd64 x86-64-v2 SSE41   gcc   -     cpu
debian12-clang    bookworm amd64 native    DEFAULT clang clang,libomp-dev cpu
debian12-limits   bookworm amd64 native    DEFAULT gcc   -     limits
debian12-arm64    bookworm arm64 armv8-a   DEFAULT gcc   -     emulated
debian12-packages bookworm amd64 x86-64    DEFAULT gcc   -     packages
debian13          trixie   amd64 native    DEFAULT gcc   -     cpu
debian13-avx2     trixie   amd64 x86-64-v3 AVX2    gcc   -     cpu
debian13-mpich    trixie   amd64 native    DEFAULT gcc   mpich,libmpich-dev mpich
debian13-packages trixie   amd64 x86-64    DEFAULT gcc   -     packages
sid               sid      amd64 native    DEFAULT gcc   -     build
ubuntu22          jammy    amd64 native    DEFAULT gcc   -     cpu'
names=$(printf '%s\n' "$rows" | awk '{ print $1 }')

fail() { echo "check_platforms: $*" >&2; exit 1; }

joins="" groups_made=() mounted=()
unmount_all() {
    local i
    [ ${#groups_made[@]} -eq 0 ] || rmdir "${groups_made[@]}" || true
    joins="" groups_made=()
    # With what specs mount below: names of networks.
    for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount -R "${mounted[i]}" || true; done
    mounted=()
}
trap unmount_all EXIT

mount_at() { # PLACE, and what mount takes
    local place=$1
    shift
    mountpoint -q "$place" && return 0
    mkdir -p "$place"
    mount "$@" "$place"
    mounted+=("$place")
}

make_root() { # SUITE ARCHITECTURE [FOR]: sets root
    root=$work/$1-$2${3:+-$3}
    if [ ! -e "$root/bertlua-ready" ]; then
        command -v debootstrap >/dev/null || fail "no debootstrap: apt-get install debootstrap"
        [ "$2" = amd64 ] || grep -qs enabled "/proc/sys/fs/binfmt_misc/qemu-aarch64" ||
            fail "programs of $2 do not run here: apt-get install qemu-user-static binfmt-support"
        rm -rf --one-file-system "$root"
        case $1 in
        jammy) debootstrap --variant=minbase --arch="$2" --components=main,universe "$1" "$root" "$ubuntu_mirror" ;;
        *) debootstrap --variant=minbase --arch="$2" "$1" "$root" "$mirror" ;;
        esac
        touch "$root/bertlua-ready"
    fi
    # A mount of its own: what unshares mounts inside makes "/" private.
    mount_at "$root" --bind "$root"
    mount_at "$root/proc" -t proc proc
    mount_at "$root/sys" -t sysfs sysfs
    mount_at "$root/dev" --bind /dev
    mount_at "$root/dev/pts" -t devpts -o gid=5,mode=620,ptmxmode=666 devpts
    mount_at "$root/dev/shm" -t tmpfs -o size=4g shm
    local hierarchy
    for hierarchy in "" /unified /cpu /memory; do
        [ ! -d "/sys/fs/cgroup$hierarchy" ] ||
            mount_at "$root/sys/fs/cgroup$hierarchy" --bind "/sys/fs/cgroup$hierarchy"
    done
    cp /etc/resolv.conf "$root/etc/"
}

inside() { # COMMAND in the chroot's copy of the tree, if it has one
    chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        QEMU_CPU=cortex-a57 ONEDNN_MAX_CPU_ISA="$isa" DNNL_MAX_CPU_ISA="$isa" bash -c "${joins}cd /bertlua 2>/dev/null || cd /; $1"
}

# The tree as committed. Files that did not change since the last time keep their times, and build folders stay.
copy_tree() {
    local last changed=.
    last=$(cat "$root/bertlua/.revision" 2>/dev/null) || true
    mkdir -p "$root/bertlua"
    if [ -n "$last" ] && git cat-file -e "$last" 2>/dev/null; then
        changed=$(git diff --name-only --no-renames --diff-filter=d "$last" HEAD)
        git diff --name-only --no-renames --diff-filter=D "$last" HEAD | (cd "$root/bertlua" && xargs -d '\n' -r rm -f)
    fi
    # shellcheck disable=SC2086 # names without blanks
    [ -z "$changed" ] || git archive HEAD $changed | tar -xmf - -C "$root/bertlua"
    git rev-parse HEAD > "$root/bertlua/.revision"
}

# What a run of the suite printed, as "passed failed pending"; busted runs twice where all of it runs.
count_specs() {
    awk '$2 == "successes" { passed += $1; failed += $4 + $7; pending += $10; runs++ }
        END { if (runs) print passed, failed, pending; else print "- - -" }'
}

# Sequences per second of a worker of bench/, the median of its steps: [...] of its JSON, and sequences per step. bf16
# where the CPU has none takes longer than anyone would wait.
per_second() { # SEQUENCES COMMAND
    { inside "timeout 600 $2" 2>>"$log" || true; } | tee -a "$log" | sed -n 's/.*"seconds":\[\([^]]*\)\].*/\1/p' |
        tr ',' '\n' | sort -g | awk -v n="$1" '{ s[NR] = $1 }
            END { if (NR) printf "%.2f\n", n / s[int((NR + 1) / 2)]; else print "none" }'
}

limit() { # what is inside from now on to a control group of 1000 MiB and one processor
    local group=bertlua-check
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
        groups_made=("/sys/fs/cgroup/$group")
        mkdir -p "${groups_made[@]}"
        echo 1048576000 > "${groups_made[0]}/memory.max"
        echo "100000 100000" > "${groups_made[0]}/cpu.max"
    else
        groups_made=("/sys/fs/cgroup/memory/$group" "/sys/fs/cgroup/cpu/$group")
        mkdir -p "${groups_made[@]}"
        echo 1048576000 > "${groups_made[0]}/memory.limit_in_bytes"
        echo 100000 > "${groups_made[1]}/cpu.cfs_period_us"
        echo 100000 > "${groups_made[1]}/cpu.cfs_quota_us"
    fi
    joins=$(printf 'echo 0 > %s/cgroup.procs; ' "${groups_made[@]}")
}

limits_hold() { # what doctor, a small run and one that is too large make of them: ok or failed
    local seen
    seen=$(inside "$build/bertlua doctor" 2>&1) || true
    printf '%s\n' "$seen" >> "$log"
    case $seen in
    *"this container gets the time of 1"*"GiB that this container may use"*) ;;
    *) echo failed && return ;;
    esac
    [ "$(trains "")" = ok ] || { echo failed && return; }
    seen=$(inside "cd /tmp/small && /bertlua/$build/bertlua pretrain_phase1 --input-dir data $vocabulary \
        --bert-model bert-large-uncased --max-steps 1 --output-dir large" 2>&1) && { echo failed && return; }
    printf '%s\n' "$seen" >> "$log"
    case $seen in *"GiB is free"*) echo ok ;; *) echo failed ;; esac
}

ends_well() { # a library may crash when its threads outlive it: how many of 60 short runs, and the demo
    local failed=0 demo=ok shorter="--phase1-steps 100 --phase2-steps 20"
    [ "${DEMO:-}" != whole ] || shorter=""
    failed=$(inside "for i in \$(seq 60); do $build/bertlua -e 'bl.ones(64, 64):matmul(bl.ones(64, 64)):sum()' \
        > /tmp/short 2>&1 || { cat /tmp/short >&2; echo failed; }; done" 2>>"$log" | grep -c failed) || true
    inside "$make demo DEMO_ARGS='--output-dir /tmp/demo-$name $shorter'" >> "$log" 2>&1 ||
        demo=failed
    inside "rm -rf /tmp/demo-$name"
    echo "make demo${shorter:+, shortened,} $demo, $failed of 60 short runs failed"
}

vocabulary="--vocab-file /bertlua/vocab/bert-base-uncased-vocab.txt"
trains() { # LAUNCHER: 20 steps of a small model, started by it: ok or failed
    inside "rm -rf /tmp/small && mkdir -p /tmp/small/text && cd /tmp/small && for i in 1 2 3 4 5 6 7 8; do
            for k in 1 2 3 4 5 6; do echo \"Ship \$i left the harbour on day \$k. It carried letters.\"; done \
                > text/\$i.txt
        done &&
        B=/bertlua/$build/bertlua &&
        \$B create_pretraining_data --input-dir text --output-dir data --text-form prose $vocabulary --shards 1 &&
        sed 's/: 768/: 32/; s/: 3072/: 64/; s/: 12\b/: 2/' /bertlua/bert_configs/bert-base-uncased.json > model.json &&
        OMP_NUM_THREADS=1 $1 \$B pretrain_phase1 --input-dir data $vocabulary --bert-model custom \
            --config-file model.json --batch-size 4 --gradient-merge-steps 1 --max-steps 20 --output-dir results &&
        test -f results/custom/phase1/20/model.safetensors" >> "$log" 2>&1 && echo ok || echo failed
}

measure() { # sets fp32, amp and inference
    fp32=$(per_second 4 "$build/bertlua bench/pretrain_worker.lua fp32 1 3 4 128 20")
    amp=$(per_second 4 "$build/bertlua bench/pretrain_worker.lua bf16 1 3 4 128 20")
    inside "rm -rf /tmp/base && mkdir /tmp/base && $build/bertlua -e 'dofile(\"bench/inference_setup.lua\").write_random(
            \"/tmp/base/model\", \"bert_configs/bert-base-uncased.json\")' &&
        for i in 1 2 3 4 5 6 7 8; do printf 'ship %.0s' \$(seq 126); echo; done > /tmp/base/texts" >> "$log" 2>&1 || true
    inference=$(per_second 8 "$build/bertlua bench/inference_worker.lua fp32 /tmp/base/model /tmp/base/texts batch \
        $(nproc) 1 0")
    inside "rm -rf /tmp/base"
}

measure_row() { # NAME and the columns of its row: the rest of what was found stays
    local fp32 amp inference was
    name=$1 isa=$5 log=$work/log/$1 build=build-$1
    [[ $8 =~ ^(cpu|limits)$ ]] || fail "$name: nothing is measured there"
    [ -f "$work/results/$name" ] || fail "$name: run the row first"
    make_root "$2" "$3" >> "$log" 2>&1 || fail "$name: no chroot: see $log"
    [ "$8" != limits ] || limit
    measure
    unmount_all
    was=$(cat "$work/results/$name")
    awk -F'|' -v OFS='|' -v fp32=" $fp32 " -v amp=" $amp " -v inference=" $inference " \
        '{ $9 = fp32; $10 = amp; $11 = inference; print }' <<< "$was" | tee "$work/results/$name"
}

write_row() { # the cells of the row behind its name
    { printf '| %s ' "$name" "$@" && echo "|"; } | tee "$work/results/$name"
}

run_row() { # NAME and the columns of its row
    local suite=$2 architecture=$3 arch=$4 kind=$8 more="" passed=- failed=- pending=- fp32=- amp=- inference=- note=-
    local make specs tests tested result revision groups="build test demo"
    if [ "$kind" = packages ]; then
        run_packages "$@"
        return
    fi
    name=$1 isa=$5 compiler=$6 log=$work/log/$1 build=build-$1
    [ "$8" != build ] || groups="build mpi"
    [ "$7" = - ] || more=${7//,/ }
    mkdir -p "$work/log" "$work/results"
    : > "$log"
    echo "$name: log in $log" >&2
    make_root "$suite" "$architecture" >> "$log" 2>&1 || fail "$name: no chroot: see $log"
    copy_tree >> "$log"
    revision=$(git rev-parse --short "$(cat "$root/bertlua/.revision")")
    # A mirror may be older than its own date allows; what debootstrap read then stays.
    inside "{ apt-get update -q || true; } && apt-get install -y -q --no-install-recommends make ca-certificates $more \
        && scripts/install_dependencies.sh $groups" >> "$log" 2>&1 || fail "$name: no packages: see $log"

    make="make ARCH=$arch LEVELS= CC=$compiler BUILD=$build DEV=1"
    [ "$kind" != build ] || make=${make% DEV=1}
    [ "$kind" != mpich ] || make="$make MPICC=mpicc.mpich"
    result=failed
    ! inside "$make" >> "$log" 2>&1 || result=ok

    specs=${SPECS:-}
    if [ $result = ok ]; then
        case $kind in
        emulated) specs=${specs:-spec/engine/ops spec/lua/models} ;;
        limits) limit && specs=${specs:-spec/engine/core} note="1000 MiB, 1 processor: $(limits_hold)" ;;
        mpich) specs=none note="2 processes of mpirun.mpich: $(trains "mpirun.mpich -n 2")" ;;
        build) specs=none ;;
        cpu) [[ $arch != native || $compiler != gcc || ${DEMO:-} = none ]] || note=$(ends_well) ;;
        esac
        if [ "$specs" != none ]; then
            tests=test tested=ok
            [ -z "$specs" ] || tests="suite BUSTED_ARGS='$specs'"
            inside "$make $tests" > "$log.specs" 2>&1 || tested=failed
            [ -n "$specs" ] || note="make test $tested; $note"
            cat "$log.specs" >> "$log"
            read -r passed failed pending < <(count_specs < "$log.specs")
            rm "$log.specs"
        fi
        if [[ $kind =~ ^(cpu|limits)$ ]] && [ "${MEASURE:-}" != none ]; then
            measure
        fi
    fi
    note="${note%; -}; $revision"
    unmount_all
    write_row "$arch, ${isa/DEFAULT/all}" "$result" "${specs:-all}" "$passed" "$failed" "$pending" "$fp32" "$amp" \
        "$inference" "${note#-; }"
}

# The packages, built in a chroot with what debian/control names, then installed in one that has had nothing else:
# debian/tests there train 20 steps, build a program in C and run LuaJIT.
run_packages() { # NAME and the columns of its row
    local suite=$2 architecture=$3 arch=$4 result=failed passed=- failed=- note=- revision test depends
    name=$1 isa=$5 log=$work/log/$1
    mkdir -p "$work/log" "$work/results"
    : > "$log"
    echo "$name: log in $log" >&2
    revision=$(git rev-parse --short HEAD)
    make_root "$suite" "$architecture" packages >> "$log" 2>&1 || fail "$name: no chroot: see $log"
    rm -rf "$root/packages"
    mkdir -p "$root/packages/repository" "$root/packages/again/deeper"
    git archive --prefix=bertlua/ HEAD | tar -xf - -C "$root/packages"
    cp -a "$root/packages/bertlua" "$root/packages/again/deeper"
    inside "{ apt-get update -q || true; } && apt-get install -y -q --no-install-recommends dpkg-dev lintian &&
        apt-get build-dep -y -q --no-install-recommends /packages/bertlua" >> "$log" 2>&1 ||
        fail "$name: no packages: see $log"
    if inside "cd /packages/bertlua && dpkg-buildpackage -us -uc -b && cd .. && cp ./*.deb repository &&
            cd repository && dpkg-scanpackages . > Packages" >> "$log" 2>&1; then
        result=ok passed=0 failed=0
        inside "lintian --fail-on error /packages/*.changes" >> "$log" 2>&1 && note="no error of lintian" ||
            note="errors of lintian"
        inside "cd /packages/again/deeper/bertlua && DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc -b &&
            cd .. && for package in *.deb; do cmp \$package /packages/\$package || exit 1; done" >> "$log" 2>&1 &&
            note="$note, a second build is equal" || note="$note, a second build differs"
        rm -rf "$work/packages" && mkdir "$work/packages"
        mv "$root/packages/repository" "$root/packages/bertlua" "$work/packages"
        unmount_all

        rm -rf --one-file-system "${work:?}/$suite-$architecture-bare"
        make_root "$suite" "$architecture" bare >> "$log" 2>&1 || fail "$name: no chroot: see $log"
        mv "$work/packages" "$root/packages"
        echo "deb [trusted=yes] file:/packages/repository ./" > "$root/etc/apt/sources.list.d/built.list"
        inside "apt-get update -q || true" >> "$log" 2>&1
        while read -r test depends; do
            echo "== $test, with $depends" >> "$log"
            if inside "apt-get install -y -q --no-install-recommends ${depends//,/} && cd /packages/bertlua &&
                    debian/tests/$test" >> "$log" 2>&1 < /dev/null; then
                passed=$((passed + 1))
            else
                failed=$((failed + 1))
            fi
        done < <(awk '$1 == "Tests:" { name = $2 } $1 == "Depends:" { $1 = ""; print name $0 }' debian/tests/control)
    fi
    unmount_all
    write_row "$arch, all" "$result" debian/tests "$passed" "$failed" - - - - "$note; $revision"
}

table() {
    echo "| row | ARCH, oneDNN | build | specs | passed | failed | pending | fp32 | amp | inference | also; revision |"
    echo "|---|---|---|---|---|---|---|---|---|---|---|"
    for name in $names; do
        if [ -f "$work/results/$name" ]; then cat "$work/results/$name"; fi
    done
}

case ${1:-} in
--list) printf '%s\n' "$rows"; exit ;;
--table) table; exit ;;
--docs)
    table > "$work/table"
    awk -v file="$work/table" '/<!-- end of platforms -->/ { on = 0 } !on { print }
        /<!-- platforms/ { on = 1; while ((getline line < file) > 0) print line }' docs/platforms.md > "$work/page"
    cat "$work/page" > docs/platforms.md
    exit
    ;;
esac
[ "$(id -u)" -eq 0 ] || fail "chroots need root"
action=run_row
[ "${1:-}" != --measure ] || { action=measure_row && shift; }
run_rows() { # NAME ..., or all
    local wanted row
    for wanted in "${@:-}"; do
        for name in ${wanted:-$names}; do
            row=$(printf '%s\n' "$rows" | awk -v name="$name" '$1 == name')
            [ -n "$row" ] || fail "no row $name, expected one of ${names//$'\n'/, }"
            # shellcheck disable=SC2086 # columns
            $action $row
        done
    done
    table
}

run_rows "$@"
