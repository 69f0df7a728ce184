"""The streaming protocol as its clients and its nodes speak it, on stubs generated from the project's schemas."""

import base64
import os
import pathlib
import queue
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from common import channel, check

SCHEMAS = pathlib.Path(__file__).resolve().parents[3] / "proto" / "proto"
DIALECT = os.environ.get("FOREIGN_DIALECT", "seed")
# Every wait of the scripts is for something that takes milliseconds, and may take this long on a busy machine.
PATIENCE = 60


def _stubs():
    """Generates and imports the stubs of the dialect that is asked for."""
    from grpc_tools import protoc
    import grpc_tools

    out = tempfile.mkdtemp(prefix="trefoil-stubs-")
    builtin = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    # What is found first counts: the later dialect has a schema of the same name.
    folders = ([SCHEMAS / "v2024_08"] if DIALECT == "v2024-08" else []) + [SCHEMAS, builtin]
    arguments = ["protoc", *[f"--proto_path={folder}" for folder in folders]]
    code = [f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main([*arguments, *code, "streaming.proto", "milvus.proto", "common.proto"]) != 0:
        sys.exit("the schemas do not compile")
    # Python has a package of this name already, so it is made at run time.
    described = os.path.join(out, "rpc.bin")
    if protoc.main([*arguments, f"--descriptor_set_out={described}", "--include_imports", "google/rpc/status.proto"]):
        sys.exit("the schema of a status does not compile")
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(described).read_bytes()).file:
        pool.Add(file)
    status = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))
    sys.path.insert(0, out)
    import milvus_pb2
    import streaming_pb2
    import streaming_pb2_grpc

    return streaming_pb2, streaming_pb2_grpc, milvus_pb2, status


messages, services, milvus, Status = _stubs()


def code(name):
    """The number of a code in the dialect that is spoken."""
    return messages.StreamingCode.Value(f"STREAMING_CODE_{name}")


def number_of(message_id):
    """What an id of ours counts. To clients ids are opaque; these scripts look inside."""
    if DIALECT == "v2024-08":
        return int(message_id.id, 36)
    return int.from_bytes(message_id.id, "big")


def message(payload, **properties):
    """A record with the properties that every one must have."""
    return messages.Message(payload=payload, properties={"_v": "1", "_t": "2", **properties})


def tick_of(record):
    return int(record.message.properties["_tt"], 36)


def metadata(key, request, **more):
    """What opens a stream of records: a request in the metadata, as base64."""
    encoded = base64.standard_b64encode(request.SerializeToString()).decode()
    return [(key, encoded), *[(name, str(value)) for name, value in more.items()]]


def pchannel(name, term):
    return messages.PChannelInfo(name=name, term=term)


class Stream:
    """A stream in both directions whose requests are sent one by one."""

    def __init__(self, call, **options):
        self._requests = queue.Queue()
        self.call = call(iter(self._requests.get, None), timeout=4 * PATIENCE, **options)

    def send(self, request):
        self._requests.put(request)

    def half_close(self):
        self._requests.put(None)

    def next(self):
        return next(self.call)

    def rest(self):
        """What comes until the peer ends the stream well."""
        return list(self.call)


class Watch(Stream):
    """Where channels are, as the coordinator pushes it."""

    def __init__(self, host):
        super().__init__(services.StreamingCoordAssignmentServiceStub(channel(host)).AssignmentDiscover)
        self.version = (-1, -1)

    def push(self):
        """The next push: `{channel: (term, server id, address)}`. Versions only grow."""
        response = self.next()
        check(response.WhichOneof("response") == "full_assignment", "a push is a full assignment", quiet=True)
        version = response.full_assignment.version
        version = (getattr(version, "global"), version.local)
        check(version > self.version, f"version {version} is above {self.version}", quiet=True)
        self.version = version
        return {
            at.name: (at.term, assigned.node.server_id, assigned.node.address)
            for assigned in response.full_assignment.assignments
            for at in assigned.channels
        }

    def until(self, holds, what):
        """The first push for which something holds."""
        while not holds(pushed := self.push()):
            pass
        check(True, what)
        return pushed

    def report(self, name, term, why="UNMATCHED_CHANNEL_TERM"):
        error = messages.StreamingError(code=code(why), cause="x")
        report = messages.ReportAssignmentErrorRequest(pchannel=pchannel(name, term), err=error)
        self.send(messages.AssignmentDiscoverRequest(report_error=report))

    def close(self):
        """The handshake: close, half-close, what was under way, close, OK."""
        self.send(messages.AssignmentDiscoverRequest(close=messages.CloseAssignmentDiscoverRequest()))
        self.half_close()
        said = [response.WhichOneof("response") for response in self.rest()]
        check(said[-1:] == ["close"] and set(said[:-1]) <= {"full_assignment"}, "discovery closes, and ends well")
        check(self.call.code() == grpc.StatusCode.OK, "its status is OK", quiet=True)


def leader(hosts):
    """A watch of whoever coordinates: the others say that they do not."""
    refused = {}
    for host in hosts:
        watch = Watch(host)
        try:
            watch.first = watch.push()
            return host, watch, refused
        except grpc.RpcError as error:
            refused[host] = error
    sys.exit(f"FAILED: nobody coordinates: {refused}")


def failure(error):
    """What a failed call says: gRPC's code, the code of the protocol, the cause."""
    trailers = dict(error.trailing_metadata() or ())
    details = trailers.get("grpc-status-details-bin")
    if details is None:
        return error.code(), None, error.details()
    status = Status.FromString(details)
    check(status.code == error.code().value[0], "the details repeat the code", quiet=True)
    check(status.message == "" and len(status.details) == 1, "one detail, and no message", quiet=True)
    url, value = status.details[0].type_url, status.details[0].value
    check(url == "type.googleapis.com/milvus.proto.streaming.StreamingError", "of the right type", quiet=True)
    said = messages.StreamingError.FromString(value)
    return error.code(), said.code, said.cause


def refused(call, status, name, begins, what):
    """A call must fail, with this code of gRPC, this one of the protocol, and a cause that begins so."""
    try:
        call()
    except grpc.RpcError as error:
        said = failure(error)
        holds = said[0] == status and said[1] == code(name) and said[2].startswith(begins)
        return check(holds, f"{what}: {status.name}, {name}, {begins} (was {said})" if not holds else f"{what}: {name}")
    sys.exit(f"FAILED: {what}: it was not refused")


def handler(address):
    return services.StreamingNodeHandlerServiceStub(channel(address))


class Producer(Stream):
    def __init__(self, address, name, term, **more):
        request = messages.CreateProducerRequest(pchannel=pchannel(name, term))
        super().__init__(handler(address).Produce, metadata=metadata("create-producer", request, **more))
        self.created = self.next()
        check(self.created.WhichOneof("response") == "create", "the first word is that it is open", quiet=True)

    def produce(self, request_id, record):
        request = messages.ProduceMessageRequest(request_id=request_id, message=record)
        self.send(messages.ProduceRequest(produce=request))

    def close(self):
        """The handshake; the answers that were under way."""
        self.send(messages.ProduceRequest(close=messages.CloseProducerRequest()))
        self.half_close()
        *answers, last = self.rest()
        check(last.WhichOneof("response") == "close", "a producer closes, and ends well")
        return [answer.produce for answer in answers]


class Consumer(Stream):
    def __init__(self, address, name, term, policy, filters=(), **more):
        request = messages.CreateConsumerRequest(
            pchannel=pchannel(name, term), deliver_policy=policy, deliver_filters=filters
        )
        super().__init__(handler(address).Consume, metadata=metadata("create-consumer", request, **more))
        self.created = self.next()
        check(self.created.WhichOneof("response") == "create", "the first word is that it is open", quiet=True)

    def take(self, count):
        return [self.next().consume for _ in range(count)]

    def close(self):
        """The handshake; what was delivered meanwhile."""
        self.send(messages.ConsumeRequest(close=messages.CloseConsumerRequest()))
        self.half_close()
        *records, last = self.rest()
        check(last.WhichOneof("response") == "close", "a consumer closes, and ends well")
        return [response.consume for response in records]


def trefoil(*arguments):
    """Runs the program as an operator does; what it says."""
    program = os.environ["FOREIGN_TREFOIL"]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=4 * PATIENCE)
    check(done.returncode == 0, f"trefoil {' '.join(arguments)}: {done.stderr}", quiet=done.returncode == 0)
    return done.stdout
