"""A streaming node of another make, driven by our coordinator: it keeps its channels in memory, and knows nothing of
Trefoil but the protocol.

Usage: worker.py OWN_HOST:PORT HOST:PORT GRACE_MS   drives the test, with the node in a process of its own
       worker.py serve OWN_HOST:PORT NUMBER            is the node
"""

import atexit
import base64
import json
import os
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc

from common import check, within
from streaming import PATIENCE, Status, code, leader, messages, milvus, services, trefoil

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number):
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text or "0"


def fail(context, status, name, cause):
    """Ends a call as nodes of this protocol do."""
    details = Status(code=status.value[0])
    details.details.add().Pack(messages.StreamingError(code=code(name), cause=cause))
    context.set_trailing_metadata([("grpc-status-details-bin", details.SerializeToString())])
    context.abort(status, "")


class Log:
    """A channel: its term, whether it is there at it, and its records."""

    def __init__(self):
        self.term, self.is_open, self.records = 0, False, []


class Node(
    services.StreamingNodeStateServiceServicer,
    services.StreamingNodeManagerServiceServicer,
    services.StreamingNodeHandlerServiceServicer,
):
    def __init__(self, number):
        self.number, self.logs, self.changed = number, {}, threading.Condition()

    def tell(self, what, channel):
        print(json.dumps({"number": self.number, "what": what, "channel": channel.name, "term": channel.term}), flush=True)

    def meant(self, context):
        """Whoever means another start of this node is told so in the words of 2024."""
        meant = dict(context.invocation_metadata()).get("serverid")
        if meant is not None and meant != str(self.number):
            told = f"node not match[expectedNodeID={meant}][actualNodeID={self.number}]"
            context.abort(grpc.StatusCode.UNKNOWN, told)

    def GetComponentStates(self, request, context):
        states = milvus.ComponentStates()
        states.state.nodeID, states.state.role, states.state.state_code = self.number, "streamingnode", 1
        states.status.SetInParent()
        return states

    def forward(self, request, context, opens):
        """Terms only move forward; what does not is ignored."""
        self.meant(context)
        channel = request.pchannel
        with self.changed:
            log = self.logs.setdefault(channel.name, Log())
            if (channel.term, not opens) <= (log.term, not log.is_open):
                fail(context, grpc.StatusCode.FAILED_PRECONDITION, "IGNORED_OPERATION", "ignored operation")
            log.term, log.is_open = channel.term, opens
            self.changed.notify_all()
        self.tell("assign" if opens else "remove", channel)

    def Assign(self, request, context):
        self.forward(request, context, True)
        return messages.StreamingNodeManagerAssignResponse()

    def Remove(self, request, context):
        self.forward(request, context, False)
        return messages.StreamingNodeManagerRemoveResponse()

    def CollectStatus(self, request, context):
        return messages.StreamingNodeManagerCollectStatusResponse()

    def opened(self, context, key, kind):
        """The request in the metadata, and the channel that it means, if it is here at that term."""
        self.meant(context)
        text = dict(context.invocation_metadata()).get(key)
        if text is None:
            fail(context, grpc.StatusCode.INVALID_ARGUMENT, "INVAILD_ARGUMENT", f"{key} is required")
        request = kind.FromString(base64.standard_b64decode(text))
        log = self.logs.get(request.pchannel.name)
        if log is None or not log.is_open:
            fail(context, grpc.StatusCode.FAILED_PRECONDITION, "CHANNEL_NOT_EXIST", "no such channel")
        if log.term != request.pchannel.term:
            fail(context, grpc.StatusCode.FAILED_PRECONDITION, "UNMATCHED_CHANNEL_TERM", "another term")
        return request, log

    def Produce(self, requests, context):
        opening, log = self.opened(context, "create-producer", messages.CreateProducerRequest)
        yield messages.ProduceResponse(create={})
        for request in requests:
            if request.WhichOneof("request") != "produce":
                continue
            answer = messages.ProduceMessageResponse(request_id=request.produce.request_id)
            with self.changed:
                if (log.term, log.is_open) == (opening.pchannel.term, True):
                    record, number = messages.Message(), str(len(log.records))
                    record.CopyFrom(request.produce.message)
                    tick = (time.time_ns() // 1_000_000) << 18 | len(log.records)
                    record.properties.update({"_tt": base36(tick), "_lc": number})
                    log.records.append(record)
                    answer.result.id.id = number.encode()
                    self.changed.notify_all()
                else:
                    answer.error.code, answer.error.cause = code("UNMATCHED_CHANNEL_TERM"), "it went elsewhere"
            yield messages.ProduceResponse(produce=answer)
        yield messages.ProduceResponse(close={})

    def Consume(self, requests, context):
        opening, log = self.opened(context, "create-consumer", messages.CreateConsumerRequest)
        policy = opening.deliver_policy
        start = {
            "all": lambda: 0,
            "latest": lambda: len(log.records),
            "start_from": lambda: int(policy.start_from.id),
            "start_after": lambda: int(policy.start_after.id) + 1,
        }.get(policy.WhichOneof("policy"))
        if start is None or opening.deliver_filters:
            fail(context, grpc.StatusCode.INVALID_ARGUMENT, "INVAILD_ARGUMENT", "unknown deliver policy or filter")
        at, closes = start(), threading.Event()

        def until_half_closed():
            for _ in requests:
                pass
            with self.changed:
                closes.set()
                self.changed.notify_all()

        threading.Thread(target=until_half_closed, daemon=True).start()
        yield messages.ConsumeResponse(create={})
        here = lambda: (log.term, log.is_open) == (opening.pchannel.term, True)  # noqa: E731
        while not closes.is_set() and here():
            with self.changed:
                self.changed.wait_for(lambda: at < len(log.records) or closes.is_set() or not here(), timeout=1)
                new = log.records[at:]
            for record in new:
                delivered = messages.ConsumeMessageReponse(message=record)
                delivered.id.id = str(at).encode()
                yield messages.ConsumeResponse(consume=delivered)
                at += 1
        yield messages.ConsumeResponse(close={})


def serve(own, number):
    node, server = Node(int(number)), grpc.server(futures.ThreadPoolExecutor(32))
    services.add_StreamingNodeStateServiceServicer_to_server(node, server)
    services.add_StreamingNodeManagerServiceServicer_to_server(node, server)
    services.add_StreamingNodeHandlerServiceServicer_to_server(node, server)
    server.add_insecure_port(own)
    server.start()
    print(json.dumps({"number": node.number, "what": "serves"}), flush=True)
    server.wait_for_termination()


class Process:
    """The node, and what it says that it was told."""

    def __init__(self, own, number):
        arguments = [sys.executable, "-B", "-u", __file__, "serve", own, str(number)]
        self.child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        # It must not outlive the test, however that ends.
        atexit.register(self.kill)
        self.told = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.told.append(json.loads(line))

    def was_told(self, channel, *wanted):
        """Whether it was told this of a channel so far, and nothing else."""
        return [(told["what"], told["term"]) for told in self.told if told.get("channel") == channel] == [*wanted]

    def kill(self):
        self.child.kill()
        self.child.wait()


def drive(own, ours, grace):
    def listed():
        return json.loads(trefoil("channels", "list", "--json", "--at", ours))

    def placed():
        return {channel["name"]: (channel["host"], channel["term"], channel["state"]) for channel in listed()["channels"]}

    def on(host):
        return sorted(name for name, (at, _, state) in placed().items() if (at, state) == (host, "assigned"))

    def lives(number):
        return any((node["server_id"], node["alive"]) == (str(number), True) for node in listed()["nodes"])

    def produce(channel, lines):
        # What is written to a file is sent as lines.
        path = os.path.join(os.environ.get("TMPDIR", "/tmp"), "lines")
        with open(path, "w") as file:
            file.write("".join(f"{line}\n" for line in lines))
        said = trefoil("produce", channel, "--file", path, "--timeout", "60", "--at", ours)
        check(f"{len(lines)} records appended" in said, f"{len(lines)} records are appended to {channel}")

    def consume(channel, lines, *more):
        said = trefoil("consume", channel, "--from", "all", "--limit", str(len(lines)), "--idle-ms", "20000", "--at", ours)
        check(said.splitlines() == lines, f"and are read from {channel}")

    node = Process(own, 4_711)
    # The coordinator asks the node how it is, and then counts it in.
    within(PATIENCE, lambda: lives(4_711), "a node of another make is known by its number")
    names = ["a", "b", "c", "d"]
    trefoil("channels", "create", *names, "--at", ours)
    within(PATIENCE, lambda: len(on(own)) == 2 and len(on(ours)) == 2, "each node is given two of four channels")
    theirs, here, first, away = on(own), on(ours), ("assign", 2), ("remove", 2)
    for channel in theirs:
        within(PATIENCE, lambda: node.was_told(channel, first), f"{channel} was assigned to it once, at term 2")  # noqa: B023
    _, watch, _ = leader([ours])
    check({name for name, (_, _, at) in watch.first.items() if at == own} == set(theirs), "clients are told of it")
    watch.close()

    # Our own producer and consumer find it by our discovery.
    lines = [f"line {number}" for number in range(500)]
    for channel in theirs[0], here[0]:
        produce(channel, lines)
        consume(channel, lines)

    # A channel that moves away is removed from it first; one that comes is assigned at a higher term.
    trefoil("channels", "move", theirs[0], ours, "--at", ours)
    within(PATIENCE, lambda: node.was_told(theirs[0], first, away), "a channel that is moved away is removed from it")
    check(placed()[theirs[0]] == (ours, 3, "assigned"), "and is on our node, at the next term")
    trefoil("channels", "move", theirs[0], own, "--at", ours)
    back = ("assign", 4)
    within(PATIENCE, lambda: node.was_told(theirs[0], first, away, back), "it comes back at a higher term")
    consume(theirs[0], lines)

    # It is started again: another number at its address means that the one before is over, and nobody is waited for.
    node.kill()
    node = Process(own, 4_712)
    within(PATIENCE, lambda: lives(4_712), "its next start is known by another number")
    within(PATIENCE, lambda: len(on(own)) + len(on(ours)) == 4, "all channels are assigned again")
    trefoil("channels", "move", theirs[0], own, "--at", ours)
    produce(theirs[0], ["again"])

    # It is killed: after the silence, and the time in which it might still write, our node has all.
    had = on(own)
    check(theirs[0] in had, "it has channels again")
    killed = time.monotonic()
    node.kill()
    reported = threading.Thread(target=produce, args=(theirs[0], lines))
    reported.start()
    within(4 * PATIENCE, lambda: on(ours) == names, "when it is killed our node has all channels")
    took = time.monotonic() - killed
    check(took >= grace / 1_000, f"but not before the grace is over ({took:.1f} s)")
    reported.join()
    consume(theirs[0], lines)
    print("PASSED", flush=True)


if sys.argv[1] == "serve":
    serve(sys.argv[2], sys.argv[3])
else:
    drive(sys.argv[1], sys.argv[2], int(sys.argv[3]))
