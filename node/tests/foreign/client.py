"""A client that shares no code with Trefoil: Python's grpcio against a running cluster.

Usage: client.py HOST[,HOST...] control_plane.proto cart.proto
"""

import os
import sys
import time

import grpc

from common import channel as open_channel, check, stubs, within

hosts = sys.argv[1].split(",")
messages, services = stubs(sys.argv[2:])
import cart_pb2 as cart  # noqa: E402  (generated above)
from google.protobuf import any_pb2  # noqa: E402

OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 128 << 20)]
PACKAGE = "/control_plane_messages.ControlPlane/"
channels = [open_channel(host, OPTIONS) for host in hosts]
nodes = [services.ControlPlaneStub(channel) for channel in channels]
node = nodes[0]


def packed(message):
    any_message = any_pb2.Any()
    any_message.Pack(message)
    return any_message


def add(cart_id, sku, quantity=1):
    item = packed(cart.AddItem(sku=sku, quantity=quantity))
    return messages.ApplyRequest(id=cart_id, messages=[item])


def show(stub, cart_id):
    grain = stub.Get(messages.GetRequest(id=cart_id), timeout=10).grain
    state = cart.Cart()
    if not grain.Unpack(state):
        sys.exit(f"FAILED: cart {cart_id} is a {grain.type_url}")
    return {item.sku: item.quantity for item in state.items}


def refused(call, code, what):
    try:
        call()
    except grpc.RpcError as error:
        check(error.code() == code, f"{what}: {error.code().name} {error.details()}")
        return error.details()
    sys.exit(f"FAILED: {what}: it was taken")


def raw(method, payload, channel=channels[0]):
    call = channel.unary_unary(PACKAGE + method, request_serializer=None, response_deserializer=None)
    return call(payload, timeout=10)


# 1. Ping: the host's own name, seconds.
reply = node.Ping(messages.Empty(), timeout=5)
check(reply.host == hosts[0], "Ping answers with the node's own name")
check(abs(reply.unix_time - time.time()) < 5, "Ping answers in seconds of unix time")

# 2. Negotiate: all healthy hosts, the callee among them; a client does not become a member.
reply = node.Negotiate(messages.NegotiateRequest(known_hosts=hosts), timeout=5)
check(sorted(reply.hosts) == sorted(hosts), "Negotiate answers with all healthy hosts")
refused(
    lambda: node.Negotiate(messages.NegotiateRequest(known_hosts=[""]), timeout=5),
    grpc.StatusCode.INVALID_ARGUMENT,
    "Negotiate with an empty host",
)

# 3. Get of what was never written claims nothing.
refused(
    lambda: node.Get(messages.GetRequest(id=999_999_999), timeout=5),
    grpc.StatusCode.NOT_FOUND,
    "Get of an unknown id",
)

# 4. Apply: one result for each message, in order, a rejected one among them; the state after it.
batch = messages.ApplyRequest(
    id=7,
    messages=[
        packed(cart.AddItem(sku="apple", quantity=2)),
        packed(cart.RemoveItem(sku="pear", quantity=1)),
        packed(cart.AddItem(sku="apple", quantity=1)),
    ],
)
result = node.Apply(batch, timeout=10)
check(len(result.mutations) == 3, "Apply answers with one result for each message")
failed = [m.HasField("error") for m in result.mutations]
check(failed == [False, True, False], "only the mutation that cannot be is refused")
state = cart.Cart()
check(result.state.Unpack(state) and state.items[0].quantity == 3, "Apply answers with the state after the batch")
check(all(show(stub, 7) == {"apple": 3} for stub in nodes), "every node shows the same cart")

# 5. GetLocalActorIds: active on exactly one node.
owners = [index for index, stub in enumerate(nodes) if 7 in stub.GetLocalActorIds(messages.Empty(), timeout=5).ids]
check(len(owners) == 1, "the cart is active on exactly one node")

# 6. A claim against a living owner is refused, by the others once they have heard of the owner; its expiry by a
# stranger changes nothing.
owner, elsewhere = hosts[owners[0]], nodes[(owners[0] + 1) % len(nodes)]
claim = messages.OwnershipAnnounce(host="10.9.9.9:1", ids=[7])
ack = nodes[owners[0]].AnnounceOwnership(claim, timeout=5)
check(not ack.accepted and owner in ack.message, "a claim against a living owner is refused, and the owner named")
within(5, lambda: not elsewhere.AnnounceOwnership(claim, timeout=5).accepted, "and so it is by another node")
ack = elsewhere.AnnounceExpiry(messages.ExpiryAnnounce(host="10.9.9.9:1", ids=[7, 8]), timeout=5)
check(ack.accepted, "an expiry of ids nobody of that name owns is fine")
check(show(elsewhere, 7) == {"apple": 3}, "and the cart is where it was")

# 7. Closing of a host nobody knows is idempotent.
acks = [node.Closing(messages.ClosingNotice(host="10.9.9.9:1"), timeout=5) for _ in range(2)]
check(all(ack.accepted for ack in acks), "Closing is idempotent")
reply = node.Negotiate(messages.NegotiateRequest(known_hosts=hosts), timeout=5)
check(sorted(reply.hosts) == sorted(hosts), "the members are what they were")

# 8. Malformed, unknown, unpacked.
refused(lambda: raw("Apply", b"\x08"), grpc.StatusCode.INVALID_ARGUMENT, "a message that is cut short")
refused(lambda: raw("Get", b"\xff" * 40), grpc.StatusCode.INVALID_ARGUMENT, "bytes that are no message")
details = refused(lambda: raw("Negotiate", b"\x0a\x02\xff\xfe"), grpc.StatusCode.INVALID_ARGUMENT, "a host that is no UTF-8")
check(details.startswith("TF-"), "the error begins with a stable code")
refused(lambda: raw("NoSuchMethod", b""), grpc.StatusCode.UNIMPLEMENTED, "a method that is not there")
unknown = messages.ApplyRequest(id=8, messages=add(8, "plum").messages).SerializeToString()
unknown += b"\xfa\x7f\x03abc" + b"\x98\x06\x01"
reply = messages.ApplyResult.FromString(raw("Apply", unknown))
check(len(reply.mutations) == 1, "unknown fields are skipped")
unpacked = b"\x0a\x04gone" + b"\x10\x05" + b"\x12\x02\x06\x07" + b"\x10\x08"
check(messages.OwnerChangeAck.FromString(raw("AnnounceExpiry", unpacked)).accepted, "lists may be packed, unpacked and both")

mute = channels[0].stream_unary(PACKAGE + "Ping", request_serializer=None, response_deserializer=None)
details = refused(lambda: mute(iter([]), timeout=10), grpc.StatusCode.INVALID_ARGUMENT, "a call without a message")
check(details.startswith("TF-C10"), "the error says so")
garbled = [("trefoil-node", "x"), ("trefoil-boot", "no number"), ("trefoil-hop", "?"), ("other-bin", b"\xff\0")]
check(node.Ping(messages.Empty(), timeout=5, metadata=garbled).host == hosts[0], "metadata that means nothing is skipped")
once = [("trefoil-request", "00000000000000000000000000c0ffee")]
again = [stub.Apply(add(12, "kiwi"), timeout=10, metadata=once) for stub in nodes]
check(all(len(result.mutations) == 1 for result in again), "a request made again is answered")
check(show(node, 12) == {"kiwi": 1}, "and applied once")

# 9. What is beyond a limit is refused, on either side, and the node goes on.
big = messages.ApplyRequest(id=9)
big.messages.add(type_url="x", value=b"\0" * (70 << 20))
refused(lambda: node.Apply(big, timeout=30), grpc.StatusCode.RESOURCE_EXHAUSTED, "70 MiB")
check(node.Ping(messages.Empty(), timeout=5).host == hosts[0], "and the node goes on")
many = [packed(cart.AddItem(sku=f"{number:064}", quantity=1)) for number in range(1_024)]
narrow = open_channel(hosts[0], [("grpc.max_receive_message_length", 4 << 10)])
refused(
    lambda: services.ControlPlaneStub(narrow).Apply(messages.ApplyRequest(id=10, messages=many), timeout=10),
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "a reply that the client finds too large",
)
check(len(show(node, 10)) == 1_024, "and what it answered to is done")
refused(
    lambda: node.Apply(messages.ApplyRequest(id=10, messages=many + many[:1]), timeout=10),
    grpc.StatusCode.INVALID_ARGUMENT,
    "a batch of more mutations than there may be",
)
refused(
    lambda: node.Apply(add(11, "fig"), timeout=10, compression=grpc.Compression.Gzip),
    grpc.StatusCode.UNIMPLEMENTED,
    "a message compressed by what the node does not know",
)

# 10. Ten thousand Applies, sent without waiting for an answer, over all nodes.
began = time.time()
pending, expected = [], {}
for number in range(10_000):
    cart_id = 1_000 + number % 97
    expected[cart_id] = expected.get(cart_id, 0) + 1
    pending.append(nodes[number % len(nodes)].Apply.future(add(cart_id, "nut"), timeout=60))
answered = sum(len(call.result().mutations) for call in pending)
rate = 10_000 / (time.time() - began)
check(answered == 10_000, f"10,000 pipelined Applies are answered ({rate:.0f} a second)")
wrong = {i: n for i, n in expected.items() if show(nodes[i % len(nodes)], i) != {"nut": n}}
check(not wrong, f"each is in its cart exactly once, but for {len(wrong)}")

# 11. Health and reflection, as the usual tools ask for them.
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # noqa: E402

health = health_pb2_grpc.HealthStub(channels[0]).Check(health_pb2.HealthCheckRequest(), timeout=5)
check(health.status == health_pb2.HealthCheckResponse.SERVING, "health says SERVING")
request = reflection_pb2.ServerReflectionRequest(list_services="")


def reflected():
    stub = reflection_pb2_grpc.ServerReflectionStub(channels[0])
    return next(stub.ServerReflectionInfo(iter([request]), timeout=5))


if os.environ.get("FOREIGN_REFLECTION") == "none":
    refused(reflected, grpc.StatusCode.UNIMPLEMENTED, "reflection is offered on tokio only")
else:
    listed = {service.name for service in reflected().list_services_response.service}
    check("control_plane_messages.ControlPlane" in listed, "reflection lists the control plane")
    check("milvus.proto.streaming.StreamingNodeHandlerService" in listed, "reflection lists the channels")
    check("cache.Cache" in listed, "reflection lists the cache")

# 12. Where a token is asked for, nobody is served without it.
if token := os.environ.pop("FOREIGN_TOKEN", None):
    for wrong in [None, token + "x"]:
        os.environ["FOREIGN_TOKEN"] = wrong or ""
        stranger = services.ControlPlaneStub(open_channel(hosts[0], OPTIONS))
        call = lambda: stranger.Ping(messages.Empty(), timeout=5)  # noqa: E731
        said = refused(call, grpc.StatusCode.UNAUTHENTICATED, "a caller without the token")
        check(said.startswith("TF-C15"), "and it is told why")

# 13. Where certificates are asked for, a caller without one is not served.
if os.environ.pop("FOREIGN_CERTS", None):
    bare = services.ControlPlaneStub(open_channel(hosts[0], OPTIONS))
    refused(lambda: bare.Ping(messages.Empty(), timeout=5), grpc.StatusCode.UNAVAILABLE, "a caller without TLS")
print("PASSED", flush=True)
