#!/bin/sh
# Writes to stdout, as a tar, what stands in for python:3.11-slim-bookworm where no registry can be reached: Debian 12
# from its own packages, with their security updates, and its Python 3.11. Needs root, debootstrap and Debian's mirror:
#   sudo docker/base/debootstrap.sh | docker import -c 'CMD ["python3"]' - sagemaker-rehearsal/base:bookworm-python3.11
# `python -m emulator images build` does the same. MIRROR and SECURITY name other mirrors than Debian's own.
set -eu
PATH=$PATH:/usr/sbin:/sbin
MIRROR=${MIRROR:-http://deb.debian.org/debian}
SECURITY=${SECURITY:-http://deb.debian.org/debian-security}
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root: run this with sudo" >&2; exit 1; }

root=$(mktemp -d)
clear() { umount "$root/proc" "$root/sys" 2> /dev/null || true; rm -rf --one-file-system "$root"; }
trap clear EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# What runs in the new root must see nothing of ours but the way to the network.
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    ${http_proxy:+http_proxy="$http_proxy"} chroot "$root" "$@" >&2; }

debootstrap --variant=minbase --include=ca-certificates,netbase,python3,tzdata bookworm "$root" "$MIRROR" >&2
cat > "$root/etc/apt/sources.list" <<END
deb $MIRROR bookworm main
deb $MIRROR bookworm-updates main
deb $SECURITY bookworm-security main
END
cp /etc/resolv.conf "$root/etc/resolv.conf"
inside apt-get update
inside apt-get upgrade -y --no-install-recommends
inside apt-get clean
ln -s python3 "$root/usr/bin/python"

# As in Debian's own slim images: no manuals, no translations, no caches. Copyright files stay.
find "$root/usr/share/doc" -type f ! -name copyright -delete
find "$root/usr/share/doc" -type l -delete
find "$root/usr/share/doc" -depth -type d -empty -delete
rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/lintian \
    "$root"/var/lib/apt/lists/* "$root"/var/cache/debconf/*-old "$root"/var/cache/ldconfig/* "$root"/var/log/*.log \
    "$root"/var/log/apt "$root"/etc/resolv.conf "$root"/etc/hostname
printf 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n' > "$root/etc/apt/apt.conf.d/slim"

tar --directory "$root" --create --numeric-owner --one-file-system --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' .
