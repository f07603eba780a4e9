"""SIGTERM to the processes in a container, so that each that wants to end in order can."""

from __future__ import annotations

# AWS's toolkit does not handle SIGTERM, and waits for the script that may: were it to die of the signal, the container
# would end, and the script with it in the middle of saving its model. (On AWS it is the first process, which the kernel
# saves from signals that it does not handle.) So a process is spared when it would die of the signal and something that
# it started, however indirectly, handles or ignores it. Bit 14 of the masks in /proc is SIGTERM.
_SCRIPT = r"""
processes= handling= spared=" 1 $$ "
for status in /proc/[0-9]*/status; do
    pid=${status#/proc/} pid=${pid%/status} processes="$processes $pid"
    while read -r key value rest; do
        case $key in
            PPid:) eval "parent_$pid=$value" ;;
            SigIgn: | SigCgt:) case $value in *[4567cdef]???) handling="$handling $pid " ;; esac ;;
        esac
    done < "$status"
done 2> /dev/null
for pid in $handling; do
    while eval "pid=\${parent_$pid:-0}"; [ "$pid" -gt 1 ]; do
        case $handling in *" $pid "*) ;; *) spared="$spared $pid " ;; esac
    done
done
for pid in $processes; do
    case $spared in *" $pid "*) ;; *) kill -TERM "$pid" ;; esac
done 2> /dev/null
exit 0
"""
TERMINATE = ["/bin/sh", "-c", _SCRIPT]
