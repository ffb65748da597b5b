#!/usr/bin/env bash
# Runs the README's two commands on a bare machine: Debian trixie with Python 3.13 and nothing else, in a folder.
#
#   bash scripts/bare_machine.sh [FOLDER]
#
# Needs root and debootstrap; takes half an hour to an hour on two cores. Prints a line for each command: the command,
# its seconds, its exit status and the last line that it printed; the logs stay in FOLDER (by default a new temporary
# one). Tests what is committed. Taken from the environment, where they are set: DEBIAN_MIRROR, PIP_INDEX_URL,
# PIP_EXTRA_INDEX_URL, PIP_DEFAULT_TIMEOUT, the proxies, and PYTEST_ADDOPTS, such as 'tests/evaluation -x'.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'error: bare_machine.sh needs root, for chroot and mounts' >&2; exit 2; }
command -v debootstrap > /dev/null || { echo 'error: there is no debootstrap: apt-get install debootstrap' >&2; exit 2; }

folder=${1:-$(mktemp -d)}
machine=$folder/machine
certificates=/etc/ssl/certs/ca-certificates.crt
mkdir -p "$folder"
echo "in $folder"

if [ ! -x "$machine/usr/bin/python3" ]; then
  # python3-venv: Debian's own Python refuses to install packages outside of a virtual environment.
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
    trixie "$machine" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} > "$folder/debootstrap.log" 2>&1
fi
cp "${SSL_CERT_FILE:-$certificates}" "$machine$certificates" # of this machine, which may be behind a proxy
cp /etc/resolv.conf "$machine/etc/resolv.conf"
grep -q "$(hostname)" "$machine/etc/hosts" || echo "127.0.1.1 $(hostname)" >> "$machine/etc/hosts"
rm -rf "$machine/jaxdet"
mkdir "$machine/jaxdet"
git archive HEAD | tar -x -C "$machine/jaxdet"

passed=(PIP_CERT=$certificates)
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_DEFAULT_TIMEOUT PYTEST_ADDOPTS \
  http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  [ -z "${!name:-}" ] || passed+=("$name=${!name}")
done

# The command runs in a mount namespace of its own, so that nothing stays mounted.
inside() {
  # shellcheck disable=SC2016
  unshare --mount bash -c 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"' \
    "$machine" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/bin:/bin "${passed[@]}" /bin/bash -c "$1"
}

status=0
number=0
# Each command begins in a fresh virtual environment.
while read -r command <&3; do
  number=$((number + 1))
  log=$folder/command$number.log
  seconds=$SECONDS
  code=0
  inside "rm -rf /venv && python3 -m venv /venv && . /venv/bin/activate && cd /jaxdet && $command" \
    > "$log" 2>&1 < /dev/null || code=$?
  last=$(tr '\r' '\n' < "$log" | grep -v '^ *$' | tail -n 1)
  echo "$command | $((SECONDS - seconds)) s | status $code | $last"
  [ "$code" = 0 ] || status=1
done 3< <(sed -n '/^```bash$/,/^```$/p' README.md | grep '^pip install' | head -n 2)
[ "$number" = 2 ] || { echo 'error: README.md does not have the two commands that begin with pip install' >&2; exit 2; }
exit "$status"
