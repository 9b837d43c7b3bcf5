#!/bin/sh
# How many compilers `make` runs at once: one per processor, but no more than a
# container gives time for, nor than fit into its memory or the machine's (300 MB
# each). The engine's own reading of these limits is in engine/core/control_group.c.
set -eu
jobs=$(nproc 2>/dev/null || echo 2)

# Lowers jobs to a whole number of 1 or more; anything else ("max", nothing) is no limit.
at_most() {
    case $1 in '' | *[!0-9]*) return ;; esac
    most=$1
    [ "$most" -ge 1 ] || most=1
    [ "$jobs" -le "$most" ] || jobs=$most
}
first_line() { head -n 1 "$1" 2>/dev/null || true; }

groups=${1:-/sys/fs/cgroup}
# shellcheck disable=SC2046 # two words
# Version 2: "QUOTA PERIOD"; version 1: a file for each, and -1 for no limit.
set -- $(first_line "$groups/cpu.max")
[ $# -eq 2 ] || set -- "$(first_line "$groups/cpu/cpu.cfs_quota_us")" "$(first_line "$groups/cpu/cpu.cfs_period_us")"
case $1$2 in
'' | *[!0-9]*) ;;
*) [ "$2" -eq 0 ] || at_most $((($1 + $2 - 1) / $2)) ;;
esac
for bytes in "$(first_line "$groups/memory.max")" "$(first_line "$groups/memory/memory.limit_in_bytes")"; do
    case $bytes in '' | *[!0-9]*) ;; *) at_most $((bytes / 300000000)) ;; esac
done
kib=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo 2>/dev/null || true)
[ -z "$kib" ] || at_most $((kib / 300000))
echo "$jobs"
