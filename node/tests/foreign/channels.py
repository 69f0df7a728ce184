"""A client of the channels that shares no code with Trefoil: it discovers, produces, consumes, assigns and closes.

Usage: channels.py CLUSTER HOST:PORT[,HOST:PORT...]
The dialect is in FOREIGN_DIALECT, the program in FOREIGN_TREFOIL.
"""

import random
import sys

import grpc

from common import channel, check, within
from streaming import (
    DIALECT,
    PATIENCE,
    Consumer,
    Producer,
    Stream,
    Watch,
    code,
    failure,
    handler,
    leader,
    message,
    messages,
    metadata,
    milvus,
    number_of,
    pchannel,
    refused,
    services,
    tick_of,
    trefoil,
)

cluster, hosts = sys.argv[1], sys.argv[2].split(",")
STATUS = grpc.StatusCode
NAMES = ["orders", "bills"]
LATER = DIALECT == "v2024-08"


def policy(**which):
    return messages.DeliverPolicy(**which)


ALL, LATEST = policy(all={}), policy(latest={})

# 1. Whoever coordinates pushes at once what there is, which is nothing; the others say that they do not.
at, watch, others = leader(hosts)
check(watch.first == {}, "the first push comes at once, and is empty")
for host, error in others.items():
    said = failure(error)
    check(said[:2] == (STATUS.FAILED_PRECONDITION, code("ON_SHUTDOWN")), f"{host} does not coordinate")
    check(said[2].startswith("TF-L20") and at in said[2], "and says who does")

# 2. Channels that are made are pushed when they are assigned, at term 2.
trefoil("channels", "create", *NAMES, "--at", ",".join(hosts))
where = watch.until(lambda pushed: set(pushed) == set(NAMES), "channels that are made are pushed when assigned")
check(all(term == 2 for term, _, _ in where.values()), "their first term is 2")
second = Watch(at)
check(second.push() == where and second.version == watch.version, "a second client is told the same at once")
second.close()
term, server, node = where["orders"]
check(node in hosts, "the node is one of ours")

# 3. How node and coordinator are.
asked = milvus.GetComponentStatesRequest()
states = services.StreamingNodeStateServiceStub(channel(node)).GetComponentStates(asked, timeout=PATIENCE)
check((states.state.nodeID, states.state.role, states.state.state_code) == (server, "streamingnode", 1), "a node's state")
check(states.HasField("status") and states.status.error_code == 0, "its status is there, and empty")
states = services.StreamingCoordStateServiceStub(channel(at)).GetComponentStates(asked, timeout=PATIENCE)
check((states.state.role, states.state.state_code) == ("streamingcoord", 1), "the coordinator's state")
check(states.state.nodeID > 0, "and its number")

# 4. Two hundred records, sent without waiting; what comes back is paired by request id alone.
producer = Producer(node, "orders", term, serverid=server, cluster=cluster)
check(getattr(producer.created.create, "wal_name", "trefoil") == "trefoil", "the log is named where the dialect does")
COUNT = 200
wanted = {number: f"record {number}".encode() for number in random.sample(range(1, 10_000), COUNT)}
for number, payload in wanted.items():
    producer.produce(number, message(payload, _vc=f"v{number % 4}", mine="x", _tt="1", _lc="1"))
answers = [producer.next().produce for _ in range(COUNT)]
check({answer.request_id for answer in answers} == set(wanted), "each of 200 requests is answered once")
check(all(answer.WhichOneof("response") == "result" for answer in answers), "each was appended")
numbers = {answer.request_id: number_of(answer.result.id) for answer in answers}
order = sorted(numbers, key=numbers.get)
check(len(set(numbers.values())) == COUNT and order == list(wanted), "ids are in the order in which they were sent")
ids = {answer.request_id: answer.result.id for answer in answers}

# 5. A record that cannot be is refused alone, and the stream stays open.
for what, bad in [
    ("version", messages.Message(payload=b"x", properties={"_t": "2"})),
    ("type", messages.Message(payload=b"x", properties={"_v": "1"})),
    ("payload", messages.Message(properties={"_v": "1", "_t": "2"})),
]:
    producer.produce(-7, bad)
    answer = producer.next().produce
    error = answer.error
    check((answer.request_id, error.code) == (-7, code("INNER")), f"a record without a {what} is refused")
    check(error.cause.startswith("TF-L13") and what in error.cause, f"and why is said: {error.cause}")
# What is under way when the producer closes is answered first.
producer.produce(20_000, message(b"last", _vc="last"))
last = producer.close()
check([answer.request_id for answer in last] == [20_000], "what was under way is answered before the end")
wanted[20_000], numbers[20_000] = b"last", number_of(last[0].result.id)
order.append(20_000)


# 6. Consumers, by policy. Records come in the order of the log, with ticks that grow.
def consume(name, count, policy, filters=()):
    consumer = Consumer(where[name][2], name, where[name][0], policy, filters, serverid=where[name][1], cluster=cluster)
    records = consumer.take(count)
    check(consumer.close() == [], "nothing more than that came")
    return records


def payloads(records):
    return [record.message.payload for record in records]


everything = consume("orders", COUNT + 1, ALL)
check(payloads(everything) == [wanted[number] for number in order], "all records, in order")
check([number_of(record.id) for record in everything] == [numbers[number] for number in order], "by their ids")
ticks = [tick_of(record) for record in everything]
check(ticks == sorted(ticks) and ticks[0] > 1_000_000_000_000 << 18, "ticks grow, and are times")
kept = everything[7].message.properties
check((kept["_vc"], kept["mine"], kept["_v"], kept["_t"]) == (f"v{order[7] % 4}", "x", "1", "2"), "properties are kept")
check(kept["_tt"] != "1" and kept["_lc"] != "1", "but those that the log gives are its own")
middle = order[100]
rest = [wanted[number] for number in order[100:]]
check(payloads(consume("orders", 101, policy(start_from=ids[middle]))) == rest, "start_from is inclusive")
check(payloads(consume("orders", 100, policy(start_after=ids[middle]))) == rest[1:], "start_after is exclusive")
latest = Consumer(node, "orders", term, LATEST)

# 7. Filters, which all must agree.
of_v1 = [number for number in order if number % 4 == 1 and number != 20_000]
v1 = messages.DeliverFilter(vchannel={"vchannel": "v1"})
check(payloads(consume("orders", len(of_v1), ALL, [v1])) == [wanted[number] for number in of_v1], "one virtual channel")
tick = ticks[150]
above = [payload for payload, at_tick in zip(payloads(everything), ticks) if at_tick > tick]
since = [payload for payload, at_tick in zip(payloads(everything), ticks) if at_tick >= tick]
gt = messages.DeliverFilter(time_tick_gt={"time_tick": tick})
gte = messages.DeliverFilter(time_tick_gte={"time_tick": tick})
check(payloads(consume("orders", len(above), ALL, [gt])) == above, "above a tick")
check(payloads(consume("orders", len(since), ALL, [gte])) == since and len(since) > len(above), "from a tick on")
both = [wanted[number] for number in of_v1 if wanted[number] in above]
check(payloads(consume("orders", len(both), ALL, [v1, gt])) == both, "both")

# 8. What opens no stream, and why.
producers, consumers = messages.CreateProducerRequest, messages.CreateConsumerRequest


def no_producer(name, at_term, begins, what, status=STATUS.FAILED_PRECONDITION, says="UNMATCHED_CHANNEL_TERM", **more):
    opening = lambda: Producer(node, name, at_term, **more)  # noqa: E731
    refused(opening, status, says, begins, what)


no_producer("orders", term + 1, "TF-L11", "a producer at a term too high")
no_producer("orders", term - 1, "TF-L11", "a producer at a term too low")
no_producer("nothing", 2, "TF-L10", "a producer of no channel", says="CHANNEL_NOT_EXIST")
no_producer("orders", term, "TF-L06", "a producer that means another node", says="CHANNEL_NOT_EXIST", serverid=server + 1)
bad = {"status": STATUS.INVALID_ARGUMENT, "says": "INVAILD_ARGUMENT"}
no_producer("orders", term, "TF-C02", "a producer of another cluster", **bad, cluster=f"{cluster}-2")
no_producer("", term, "TF-L02", "a producer of a channel without a name", **bad)
no_producer("orders", 0, "TF-L02", "a producer at term 0", **bad)
Producer(node, "orders", term, serverid="any", cluster="").close()

bare = lambda **options: Stream(handler(node).Produce, **options).next()  # noqa: E731
refused(bare, STATUS.INVALID_ARGUMENT, "INVAILD_ARGUMENT", "TF-L01", "a producer without metadata")
garbage = lambda: bare(metadata=[("create-producer", "~~~")])  # noqa: E731
refused(garbage, STATUS.INVALID_ARGUMENT, "INVAILD_ARGUMENT", "TF-L01", "metadata that is no base64")
bare = lambda: Stream(handler(node).Consume).next()  # noqa: E731
refused(bare, STATUS.INVALID_ARGUMENT, "INVAILD_ARGUMENT", "TF-L01", "a consumer without metadata")


def no_consumer(what, begins, status=STATUS.INVALID_ARGUMENT, says="INVAILD_ARGUMENT", at_term=term, **more):
    opening = lambda: Consumer(node, "orders", at_term, **{"policy": ALL, **more})  # noqa: E731
    refused(opening, status, says, begins, what)


no_consumer("a consumer without a policy", "TF-L03", policy=None)
no_consumer("a policy of no kind", "TF-L03", policy=messages.DeliverPolicy())
no_consumer("an id that is none of ours", "TF-L03", policy=policy(start_from=type(ids[middle])(id=type(ids[middle].id)())))
no_consumer("a filter of no kind", "TF-L04", filters=[messages.DeliverFilter()])
no_consumer("a consumer at another term", "TF-L11", STATUS.FAILED_PRECONDITION, "UNMATCHED_CHANNEL_TERM", term + 1)


# Whoever speaks the other dialect is told so by the first word. Its `produce` is number 1 or 2, and `close` 2 or 3.
def other_dialect():
    request = producers(pchannel=pchannel("orders", term))
    stub = channel(node).stream_stream("/milvus.proto.streaming.StreamingNodeHandlerService/Produce")
    produce = messages.ProduceMessageRequest(request_id=1, message=message(b"x")).SerializeToString()
    stream = Stream(stub, metadata=metadata("create-producer", request))
    stream.next()
    stream.send(bytes([0x12 if LATER else 0x0A, len(produce)]) + produce)
    stream.next()


refused(other_dialect, STATUS.INVALID_ARGUMENT, "INVAILD_ARGUMENT", "TF-L05", "a producer of the other dialect")

# 9. Errors that are reported. A stale one changes nothing; a fresh one ends in a new term, under which all is found.
watch.report("orders", term - 1)
watch.report("nothing", 2)
watch.report("orders", term)
moved = watch.until(lambda pushed: pushed.get("orders", (0,))[0] > term, "what is reported gets a new term")
check(moved["orders"][0] == term + 1 and moved["bills"] == where["bills"], "one higher, and nothing else moves")
old, where = (term, node), moved
term, server, node = where["orders"]
gone = lambda: Producer(old[1], "orders", old[0])  # noqa: E731
expected = "UNMATCHED_CHANNEL_TERM" if old[1] == node else "CHANNEL_NOT_EXIST"
refused(gone, STATUS.FAILED_PRECONDITION, expected, "TF-L", "the term before")
check(payloads(consume("orders", COUNT + 1, ALL)) == payloads(everything), "all records, under the new term")
heard = []
try:
    while response := latest.next():
        heard.append(response.WhichOneof("response"))
except (grpc.RpcError, StopIteration):
    check(heard == ["close"], "a consumer of the former term is told that it is over, and that nothing was missed")
watch.close()
nameless = Watch(at)
nameless.push()
nameless.report("", 1)
refused(nameless.rest, STATUS.INVALID_ARGUMENT, "INVAILD_ARGUMENT", "TF-L21", "a report of no channel")

# 10. A coordinator of another make gives this node channels and takes them back. Terms only go up.
manager = services.StreamingNodeManagerServiceStub(channel(node))
node_number = [("serverid", str(server))]


def assign(name, at_term, shown=node_number):
    request = messages.StreamingNodeManagerAssignRequest(pchannel=pchannel(name, at_term))
    return manager.Assign(request, metadata=shown, timeout=PATIENCE)


def remove(name, at_term, shown=node_number):
    request = messages.StreamingNodeManagerRemoveRequest(pchannel=pchannel(name, at_term))
    return manager.Remove(request, metadata=shown, timeout=PATIENCE)


def ignored(call, begins, what):
    refused(call, STATUS.FAILED_PRECONDITION, "IGNORED_OPERATION", begins, what)


assign("theirs", 5)
check(True, "a channel is assigned")
ignored(lambda: assign("theirs", 5), "TF-L07", "the same again")
ignored(lambda: assign("theirs", 4), "TF-L08", "a lower term")
ignored(lambda: remove("theirs", 4), "TF-L08", "a removal of a lower term")
first = Producer(node, "theirs", 5, serverid=server)
first.produce(1, message(b"one"))
check(first.next().produce.WhichOneof("response") == "result", "it is produced to")
assign("theirs", 6)
check(True, "a higher term closes the one before, and is open")
overtaken = []
try:
    while response := first.next():
        overtaken.append(response.WhichOneof("response"))
except (grpc.RpcError, StopIteration):
    check(overtaken == ["close"], "the producer of the term before is sent away")
again = Producer(node, "theirs", 6)
again.produce(1, message(b"two"))
check([a.WhichOneof("response") for a in [again.next().produce]] == ["result"], "the new one appends behind it")
again.close()
where["theirs"] = (6, server, node)
check(payloads(consume("theirs", 2, ALL)) == [b"one", b"two"], "and all is read")
remove("theirs", 6)
check(True, "it is taken back")
ignored(lambda: assign("theirs", 6), "TF-L08", "the term that was taken")
ignored(lambda: remove("theirs", 6), "TF-L08", "the removal again")
closed = lambda: Producer(node, "theirs", 6)  # noqa: E731
refused(closed, STATUS.FAILED_PRECONDITION, "CHANNEL_NOT_EXIST", "TF-L10", "what was taken is not here")
remove("never heard of", 9)
check(True, "the removal of what was never here is no error")
for name, at_term in [("", 2), ("x", 0), ("x" * 257, 2)]:
    for call in [assign, remove]:
        wrong = lambda: call(name, at_term)  # noqa: E731, B023
        refused(wrong, STATUS.INVALID_ARGUMENT, "INVAILD_ARGUMENT", "TF-L02", f"{name[:3]!r} at term {at_term}")
other = lambda: assign("theirs", 7, [("serverid", str(server + 1))])  # noqa: E731
refused(other, STATUS.FAILED_PRECONDITION, "CHANNEL_NOT_EXIST", "TF-L06", "another node is meant")
status = manager.CollectStatus(messages.StreamingNodeManagerCollectStatusRequest(), timeout=PATIENCE)
check(status.HasField("balance_attributes"), "the node says how it is")

# 11. What a foreign coordinator did is no business of ours: its own channels are where they were.
last_watch = Watch(at)
check(last_watch.push().keys() == set(NAMES), "our coordinator knows its own channels alone")
last_watch.close()
within(PATIENCE, lambda: trefoil("channels", "list", "--at", at).count("assigned") == 2, "and all are assigned")
print("PASSED", flush=True)
