#!/usr/bin/env bash
#
# deb.sh OLD.deb NEW.deb PAGE PORT THEIR_PORT: installs the package in a copy of this machine's root, runs each command
# of PAGE as it is printed there, upgrades and purges. Run in a mount namespace of its own, as root. There is no
# systemd in the copy: `apt` and `systemctl` stand for what they would do.

set -euo pipefail
old=$1 new=$2 page=$3 port=$4 their_port=$5

fail() { echo "deb.sh: $*" >&2; exit 1; }

over=$(mktemp -d)
mount -t tmpfs tmpfs "$over"
mkdir "$over/upper" "$over/work" "$over/top"
mount -t overlay overlay -o "lowerdir=/,upperdir=$over/upper,workdir=$over/work" "$over/top"
mount -t proc proc "$over/top/proc"
mount --rbind /dev "$over/top/dev"
mkdir -p "$over/top/srv/packages"
cp "$old" "$new" "$page" "$over/top/srv/packages/"
cat >"$over/top/usr/local/bin/systemctl" <<'SYSTEMCTL'
#!/bin/sh
# enable --now intelmesh
setpriv --reuid intelmesh --regid intelmesh --init-groups intelmesh run -C /etc/intelmesh >/run/ready 2>/run/node.log &
echo $! >/run/node.pid
while ! grep -q '^ready ' /run/ready; do [ -e "/proc/$!/exe" ] || { cat /run/node.log; exit 1; }; sleep 0.1; done
SYSTEMCTL
printf '#!/bin/sh\nexec dpkg -i "$2"\n' >"$over/top/usr/local/bin/apt"
chmod +x "$over/top/usr/local/bin/systemctl" "$over/top/usr/local/bin/apt"

cat >"$over/top/srv/inside" <<'INSIDE'
set -euo pipefail
fail() { echo "deb.sh: $*" >&2; exit 1; }
old=$1 new=$2 page=$3 port=$4 their_port=$5
trap 'kill $(cat /run/node.pid /run/partner.pid 2>/dev/null) 2>/dev/null || true' EXIT
stop_node() {
    kill "$(cat /run/node.pid)"
    while [[ -e /proc/$(cat /run/node.pid)/exe ]]; do sleep 0.1; done
}
wait_for_partner() {
    local tries
    for tries in {1..300}; do
        if intelmesh status --check | grep -q '^ok: 1 of 1 peers up'; then return; fi
        sleep 0.2
    done
    cat /run/node.log /run/partner.log
    fail "the partner is not connected"
}
cd /srv/packages
unset INTELMESH_DIR
# The index of all man pages of this machine is not of the test.
rm -rf /etc/intelmesh /var/lib/intelmesh /var/lib/man-db/auto-update

dpkg -i "$old" || fail "it does not install"
systemd-analyze verify --man=no intelmesh.service || fail "the unit"
[[ $(stat -c '%U:%G %a' /etc/intelmesh /etc/intelmesh/keys /var/lib/intelmesh | tr '\n' ' ') == \
    "root:intelmesh 750 intelmesh:intelmesh 700 intelmesh:intelmesh 700 " ]] || fail "$(ls -l /etc/intelmesh)"
man -w intelmesh-peer-add >/dev/null && man -w 5 intelmesh.toml >/dev/null || fail "man pages"
bash -n /usr/share/bash-completion/completions/intelmesh

# The partner: a node that has followed the same page elsewhere, and has added us by then.
mkdir /run/intelmesh && chown intelmesh: /run/intelmesh # as RuntimeDirectory= does
cp "$old" intelmesh_amd64.deb
partner() { env INTELMESH_DIR=/srv/partner intelmesh "$@"; }
partner init /srv/partner --name cert-ee --listen "/ip4/127.0.0.1/tcp/$their_port" --advertise "/ip4/127.0.0.1/tcp/$their_port" 2>/dev/null
partner invite >cert-ee.txt
env INTELMESH_DIR=/srv/partner intelmesh run >/dev/null 2>/run/partner.log &
echo $! >/run/partner.pid

# Every command of the page, as printed, but for the names of hosts.
sed -n '/^ *```sh$/,/^ *```$/p' "$page" | grep -v '```' | sed 's/^ *//' >commands
while IFS= read -r command; do
    command=${command//\/dns4\/mesh.cert.at\/tcp\/4801/\/ip4\/127.0.0.1\/tcp\/$port}
    echo "$ $command"
    eval "$command" <<<yes || fail "$command"
    case $command in
        *" init "*) sed -i "s|^listen = .*|listen = [\"/ip4/127.0.0.1/tcp/$port\"]|" /etc/intelmesh/intelmesh.toml ;;
        *"invite >"*) partner peer add --yes cert-at.txt ;;
        *"peer add"*)
            wait_for_partner
            echo '{"source.ip":"192.0.2.7"}' | partner submit
            ;;
    esac
done <commands

# In another directory, a verb names the node that it means.
intelmesh status --check 2>&1 >/dev/null | grep -q '^using /etc/intelmesh' || fail "the directory is not named"

# The upgrade keeps what the operator has, and the node's state.
before=$(cat /etc/intelmesh/intelmesh.toml /etc/intelmesh/peers/cert-ee.toml | sha256sum)
stop_node
dpkg -i "$new" || fail "the upgrade"
[[ $(dpkg-query -W -f '${Version}' intelmesh) == 9.0.0* ]] || fail "the version"
[[ $(cat /etc/intelmesh/intelmesh.toml /etc/intelmesh/peers/cert-ee.toml | sha256sum) == "$before" ]] || fail "files changed"
: >/run/ready
systemctl enable --now intelmesh
intelmesh tail --own --from earliest --count 2 | grep -q cert-ee || fail "the journal"
stop_node

intelmesh backup /srv/mesh.tar
dpkg --remove intelmesh
[[ -e /etc/intelmesh/keys/node.pem && -e /var/lib/intelmesh/journal ]] || fail "a removal keeps the node"
# Mounted into it: a directory of others, and a disk for the journal.
mkdir -p /srv/shared /srv/disk
touch /srv/shared/foreign /srv/disk/foreign /etc/intelmesh/passphrase.cred
mount --bind /srv/shared /etc/intelmesh/lists
mv /var/lib/intelmesh/* /srv/disk/
mount --bind /srv/disk /var/lib/intelmesh
dpkg --purge intelmesh
[[ $(ls -A /etc/intelmesh /etc/intelmesh/lists /var/lib/intelmesh | tr '\n' ' ') == \
    "/etc/intelmesh: lists  /etc/intelmesh/lists: foreign  /var/lib/intelmesh: foreign " ]] || fail "purged: $(ls -lR /etc/intelmesh /var/lib/intelmesh)"
for file in node.pem intelmesh.toml passphrase.cred; do
    [[ -e $(echo /var/backups/intelmesh-keys-*/"$file") ]] || fail "$file was not kept"
done
umount /etc/intelmesh/lists /var/lib/intelmesh

# The machine is lost, and the node comes back from its backup: the partner has the events.
dpkg -i "$new"
intelmesh restore /srv/mesh.tar /etc/intelmesh
[[ $(stat -c '%U:%G %a' /etc/intelmesh/intelmesh.toml /etc/intelmesh/keys/node.pem | tr '\n' ' ') == \
    "root:intelmesh 640 intelmesh:intelmesh 600 " ]] || fail "$(ls -lR /etc/intelmesh)"
mkdir /run/intelmesh && chown intelmesh: /run/intelmesh
: >/run/ready
systemctl enable --now intelmesh
wait_for_partner
intelmesh tail --own --from earliest --count 2 --idle 20 | grep -q cert-ee || fail "the events did not come back"
stop_node
dpkg --purge intelmesh
for path in /etc/intelmesh /var/lib/intelmesh /run/intelmesh /usr/bin/intelmesh /usr/share/doc/intelmesh \
    /lib/systemd/system/intelmesh.service /etc/systemd/system/multi-user.target.wants/intelmesh.service; do
    [[ ! -e $path ]] || fail "$path is left"
done
echo done
INSIDE
name() { basename "$1"; }
chroot "$over/top" /bin/bash /srv/inside "$(name "$old")" "$(name "$new")" "$(name "$page")" "$port" "$their_port"
