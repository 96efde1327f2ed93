"""The network namespace of a cluster: a bridge that carries the node's address, and no way out.

A device of type dummy is missing in some kernels, so the address sits on a bridge and a veth pair keeps the bridge up.
Enter with `nsenter --net`, never with `ip netns exec`: that remounts /sys and the kubelet no longer finds its control
groups.
"""

import contextlib

from tests.cluster.images.progress import CommandError, run
from tests.cluster.layout import GATEWAY_IP, NODE_NETWORK, Layout

BRIDGE = "node0"
HOLDER, HOLDER_PEER = "hold0", "hold1"
# On a bridge without a member IPv6 addresses stay tentative, and nothing here uses IPv6.
SYSCTLS = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.disable_ipv6=1")


def inside(paths: Layout, *command: str) -> list[str]:
    """The command as it has to be called to run in the cluster's network namespace."""
    return ["nsenter", f"--net={paths.netns}", *command]


def exists(paths: Layout) -> bool:
    """Whether the namespace is there and has its node address. A file that is no namespace cannot be entered."""
    try:
        return NODE_NETWORK in run(inside(paths, "ip", "-4", "addr", "show", "dev", BRIDGE))
    except CommandError:
        return False


def create(paths: Layout) -> None:
    """Make the namespace; one that is there but not complete is made anew."""
    if exists(paths):
        return
    remove(paths)
    run(["ip", "netns", "add", paths.namespace])
    for command in (
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"link add {HOLDER} type veth peer name {HOLDER_PEER}",
        f"link set {HOLDER} master {BRIDGE}",
        *(f"link set {device} up" for device in (HOLDER, HOLDER_PEER, BRIDGE)),
        f"addr add {NODE_NETWORK} dev {BRIDGE}",
        f"route add default via {GATEWAY_IP} dev {BRIDGE}",
    ):
        run(inside(paths, "ip", *command.split()))
    for setting in SYSCTLS:
        # Some containers mount /proc/sys read-only; forwarding may be on all the same.
        with contextlib.suppress(CommandError):
            run(inside(paths, "sysctl", "-qw", setting))


def remove(paths: Layout) -> None:
    """Delete the namespace with its devices, addresses and packet filter rules."""
    if paths.netns.exists():
        run(["ip", "netns", "del", paths.namespace])
