"""A peer of the kind Trefoil did not write: it serves the control plane, knows none of our metadata, and
answers some calls badly.

Usage: legacy.py OWN_HOST:PORT HOST[,HOST...] control_plane.proto cart.proto
"""

import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import message_factory

from common import check, stubs, within

own = sys.argv[1]
hosts = sys.argv[2].split(",")
messages, services = stubs(sys.argv[3:])
import cart_pb2 as cart  # noqa: E402  (generated above)

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Peer(services.ControlPlaneServicer):
    """Full views from a cache, first claim wins, nothing else."""

    def __init__(self):
        self.known = {own, *hosts}
        self.owners = {}
        # What it says of its ids: a list, the bytes of an answer, or nothing but an error.
        self.ids = []
        self.asked = 0
        self.served = set()
        self.announced = set()
        self.lock = threading.Lock()

    def Ping(self, request, context):
        return messages.PingReply(host=own, unix_time=int(time.time()))

    def Negotiate(self, request, context):
        with self.lock:
            self.known.update(request.known_hosts)
            return messages.NegotiateReply(hosts=sorted(self.known))

    def GetLocalActorIds(self, request, context):
        self.asked += 1
        if self.ids is None:
            context.abort(grpc.StatusCode.UNKNOWN, "not today")
        return self.ids if isinstance(self.ids, bytes) else messages.ActorIdsReply(ids=self.ids)

    def AnnounceOwnership(self, request, context):
        with self.lock:
            self.announced.update(request.ids)
            taken = [i for i in request.ids if self.owners.setdefault(i, request.host) != request.host]
        return messages.OwnerChangeAck(accepted=not taken, message=f"{len(taken)} taken")

    def AnnounceExpiry(self, request, context):
        with self.lock:
            for i in request.ids:
                if self.owners.get(i) == request.host:
                    del self.owners[i]
        return messages.OwnerChangeAck(accepted=True)

    def Closing(self, request, context):
        with self.lock:
            self.known.discard(request.host)
        return messages.OwnerChangeAck(accepted=True)

    def Apply(self, request, context):
        self.served.add(request.id)
        results = [messages.MutationResult(type=m.type_url) for m in request.messages]
        return messages.ApplyResult(mutations=results)

    def Get(self, request, context):
        self.served.add(request.id)
        return messages.GetReply()


def serve(peer):
    """Serves the peer. The generated code would refuse to send what is no message of the right type."""
    service = messages.DESCRIPTOR.services_by_name["ControlPlane"]
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(peer, method.name),
            request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
            response_serializer=lambda answer: answer if isinstance(answer, bytes) else answer.SerializeToString(),
        )
        for method in service.methods
    }
    server = grpc.server(futures.ThreadPoolExecutor(8), options=OPTIONS)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service.full_name, handlers)])
    server.add_insecure_port(own)
    server.start()
    return server


stubs_of = {host: services.ControlPlaneStub(grpc.insecure_channel(host, options=OPTIONS)) for host in hosts}
node = stubs_of[hosts[0]]


def view(host, known=()):
    """The hosts that a node believes healthy, after it was told of some."""
    return set(stubs_of[host].Negotiate(messages.NegotiateRequest(known_hosts=known), timeout=5).hosts)


def reach_us(ids, through=hosts):
    """Whether calls for ids come here, through each of some nodes. Reading claims nothing."""
    for host in through:
        peer.served.clear()
        for i in ids:
            try:
                stubs_of[host].Get(messages.GetRequest(id=i), timeout=10)
            except grpc.RpcError:
                return False
        if not peer.served.issuperset(ids):
            return False
    return True


def add(cart_id):
    request = messages.ApplyRequest(id=cart_id)
    request.messages.add().Pack(cart.AddItem(sku="nut", quantity=1))
    return node.Apply(request, timeout=10)


def bad_answer(what):
    """A node asks for our ids and gets what it cannot use: that costs us nothing, and it neither."""
    before = peer.asked
    within(20, lambda: peer.asked >= before + 4, f"{what}: it is asked again")
    # Whom a node merely doubts it clears within a second; whom it dropped it would not take back so soon.
    within(2, lambda: all(own in view(host) for host in hosts), f"{what}: it stays a member")
    check(len(add(ours).mutations) == 1, f"{what}: the nodes go on")


# Encoded before anybody waits for us: while that is done nothing else is.
many = range(1 << 63, (1 << 63) + 7_500_000)
too_long = messages.ActorIdsReply(ids=many).SerializeToString()
long = messages.ActorIdsReply(ids=many[:1_000_000]).SerializeToString()

peer = Peer()
# Enough that not all of them are placed here by chance: that they reach us says that their list was read.
first = peer.ids = list(range(5_000_000, 5_000_016))
server = serve(peer)

# It joins as its kind does: by its full view, to one node. All nodes find it, and know its ids.
node.Negotiate(messages.NegotiateRequest(known_hosts=[own, *hosts]), timeout=5)
within(10, lambda: all(own in view(host) for host in hosts), "a peer without our metadata is found by all nodes")
within(15, lambda: reach_us(first), "calls for its ids reach it through every node")
check(len(add(first[0]).mutations) == 1, "and so do changes")

# Claims of ours reach it. Some of these ids are placed here, and no claim is made of them.
for i in range(6_000_000, 6_000_080):
    add(i)
mine = {i for host in hosts for i in stubs_of[host].GetLocalActorIds(messages.Empty(), timeout=5).ids}
check(mine and mine.isdisjoint(first), "ours are not its own")
within(5, lambda: peer.announced >= mine, "claims of ours are announced to it")
ours, contested = sorted(node.GetLocalActorIds(messages.Empty(), timeout=5).ids)[:2]

# It claims what nobody has, and what the first of ours has: it would never yield, so that one does. The others may
# have refused by then and are not told again: they ask.
for i, what in [(5_000_100, "a free id"), (contested, "an id of ours")]:
    peer.ids = [*peer.ids, i]
    peer.owners[i] = own
    claim = messages.OwnershipAnnounce(host=own, ids=[i])
    acks = [stub.AnnounceOwnership(claim, timeout=5) for stub in stubs_of.values()]
    check(acks[0].accepted, f"its claim of {what} is taken")
    within(10, lambda: reach_us([i]), f"calls for {what} reach it")

# What it gives up is found as it was left.
peer.ids = first
del peer.owners[contested]
notice = messages.ExpiryAnnounce(host=own, ids=[contested])
acks = [stub.AnnounceExpiry(notice, timeout=5) for stub in stubs_of.values()]
check(all(ack.accepted for ack in acks), "its expiry is taken")


def found():
    grain = node.Get(messages.GetRequest(id=contested), timeout=10).grain
    state = cart.Cart()
    return grain.Unpack(state) and [(item.sku, item.quantity) for item in state.items] == [("nut", 1)]


within(10, found, "an id that came back is as it was")

# Answers that are not what they should be.
peer.ids = b"\x0a\x05\xff"
bad_answer("an answer that cannot be decoded")
peer.ids = None
bad_answer("an error")
peer.ids = too_long
bad_answer("an answer beyond the limit")
peer.ids = long
within(30, lambda: reach_us([many[0], *many[999_900:1_000_000]]), "an answer of a million ids is taken by every node")
peer.ids = first
within(30, lambda: reach_us(first) and not reach_us(many[:16]), "and so is a short one after it")

# It goes without a word, as its kind does when it is killed: all nodes drop it, and hearsay does not bring it back.
server.stop(0).wait()
within(30, lambda: all(own not in view(host) for host in hosts), "a silent peer is dropped by all nodes")
for _ in range(10):
    if any(own in view(host, [own, *hosts]) for host in hosts):
        sys.exit("FAILED: hearsay brought it back")
    time.sleep(0.3)
check(all(view(host) == set(hosts) for host in hosts), "hearsay does not bring it back, and the others stay")

# It comes back where it was, and then says that it goes.
server = serve(peer)
within(30, lambda: all(own in view(host, [own]) for host in hosts), "a peer that answers again is a member again")
within(15, lambda: reach_us(first), "and its ids are its own again")
server.stop(0).wait()
goodbye = messages.ClosingNotice(host=own)
check(all(stub.Closing(goodbye, timeout=5).accepted for stub in stubs_of.values()), "its goodbye is taken")
check(all(own not in view(host) for host in hosts), "and it is gone at once")
print("PASSED", flush=True)
