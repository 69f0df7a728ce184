"""A peer of the kind Trefoil did not write: it serves the control plane, knows none of our metadata, and
answers some calls badly.

Usage: legacy.py OWN_HOST:PORT HOST[,HOST...] control_plane.proto cart.proto
"""

import sys
import threading
import time
from concurrent import futures

import grpc

from common import check, stubs

own = sys.argv[1]
hosts = sys.argv[2].split(",")
messages, services = stubs(sys.argv[3:])

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Peer(services.ControlPlaneServicer):
    """Full views from a cache, first claim wins, nothing else."""

    def __init__(self):
        self.known = {own, *hosts}
        self.owners = {}
        self.local = [5_000_001]
        self.seen = set()
        self.lock = threading.Lock()

    def Ping(self, request, context):
        self.seen.add("Ping")
        return messages.PingReply(host=own, unix_time=int(time.time()))

    def Negotiate(self, request, context):
        self.seen.add("Negotiate")
        with self.lock:
            self.known.update(request.known_hosts)
            return messages.NegotiateReply(hosts=sorted(self.known))

    def GetLocalActorIds(self, request, context):
        self.seen.add("GetLocalActorIds")
        return messages.ActorIdsReply(ids=self.local)

    def AnnounceOwnership(self, request, context):
        self.seen.add("AnnounceOwnership")
        with self.lock:
            taken = [i for i in request.ids if self.owners.setdefault(i, request.host) != request.host]
        return messages.OwnerChangeAck(accepted=not taken, message=f"{len(taken)} taken")

    def AnnounceExpiry(self, request, context):
        with self.lock:
            for i in request.ids:
                if self.owners.get(i) == request.host:
                    del self.owners[i]
        return messages.OwnerChangeAck(accepted=True)

    def Closing(self, request, context):
        self.seen.add("Closing")
        with self.lock:
            self.known.discard(request.host)
        return messages.OwnerChangeAck(accepted=True)

    def Apply(self, request, context):
        self.seen.add("Apply")
        results = [messages.MutationResult(type=m.type_url) for m in request.messages]
        return messages.ApplyResult(mutations=results)

    def Get(self, request, context):
        self.seen.add("Get")
        return messages.GetReply()


def within(seconds, holds, what):
    end = time.time() + seconds
    while time.time() < end:
        if holds():
            break
        time.sleep(0.1)
    check(holds(), what)


peer = Peer()
server = grpc.server(futures.ThreadPoolExecutor(8), options=OPTIONS)
services.add_ControlPlaneServicer_to_server(peer, server)
server.add_insecure_port(own)
server.start()

stubs_of = {host: services.ControlPlaneStub(grpc.insecure_channel(host, options=OPTIONS)) for host in hosts}
node = stubs_of[hosts[0]]


def view(host):
    return set(stubs_of[host].Negotiate(messages.NegotiateRequest(known_hosts=[own, *hosts]), timeout=5).hosts)


# It joins as its kind does: by its full view, to one node. All nodes find it, and fetch its ids.
node.Negotiate(messages.NegotiateRequest(known_hosts=[own, *hosts]), timeout=5)
within(10, lambda: all(own in view(host) for host in hosts), "a peer without our metadata is found by all nodes")
within(10, lambda: "GetLocalActorIds" in peer.seen, "its ids are fetched")

# A call for an id it owns is forwarded to it.
reply = node.Apply(messages.ApplyRequest(id=5_000_001), timeout=10)
within(5, lambda: "Apply" in peer.seen, "a call for its id reaches it")

# Claims of ours reach it, and its claim of an id nobody has is taken.
for i in range(6_000_000, 6_000_040):
    try:
        node.Apply(messages.ApplyRequest(id=i), timeout=10)
    except grpc.RpcError as error:
        check(error.code() != grpc.StatusCode.UNKNOWN, f"an error of a known code: {error.code().name}")
within(5, lambda: "AnnounceOwnership" in peer.seen, "claims of ours are announced to it")
ack = node.AnnounceOwnership(messages.OwnershipAnnounce(host=own, ids=[5_000_002]), timeout=5)
check(ack.accepted, "its claim of a free id is taken")

# A large answer is taken; one beyond the limit harms nobody.
peer.local = list(range(1 << 63, (1 << 63) + 1_000_000))
time.sleep(12)
check(own in view(hosts[0]), "an answer of a million ids is taken")
peer.local = list(range(1 << 63, (1 << 63) + 7_500_000))
time.sleep(12)
check(node.Ping(messages.Empty(), timeout=10).host == hosts[0], "an answer beyond the limit harms nobody")
peer.local = [5_000_001]

# It leaves without a word, as its kind does when it is killed: all nodes drop it, and nobody brings it back.
server.stop(0)


def healthy(host):
    return set(stubs_of[host].Negotiate(messages.NegotiateRequest(known_hosts=hosts), timeout=5).hosts)


within(30, lambda: all(own not in healthy(host) for host in hosts), "a silent peer is dropped by all nodes")
check(healthy(hosts[0]) == set(hosts), "the others stay")
print("PASSED", flush=True)
