"""What the foreign client and the legacy peer share: stubs generated from the project's own schemas."""

import os
import pathlib
import sys
import tempfile
import time


def stubs(protos):
    """Generates and imports the stubs of the control plane and of the carts."""
    from grpc_tools import protoc
    import grpc_tools

    out = tempfile.mkdtemp(prefix="trefoil-stubs-")
    builtin = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    folders = [str(pathlib.Path(p).parent) for p in protos]
    arguments = ["protoc", f"--proto_path={builtin}", f"--python_out={out}", f"--grpc_python_out={out}"]
    arguments += [f"--proto_path={folder}" for folder in dict.fromkeys(folders)]
    arguments += [str(p) for p in protos]
    if protoc.main(arguments) != 0:
        sys.exit("the schemas do not compile")
    sys.path.insert(0, out)
    import control_plane_pb2 as messages
    import control_plane_pb2_grpc as services

    return messages, services


class Token:
    """Shows a token with every call."""

    def __init__(self, token):
        self.token = token

    def _with(self, go_on, details, request):
        shown = details._replace(metadata=[*(details.metadata or ()), ("authorization", self.token)])
        return go_on(shown, request)

    intercept_unary_unary = intercept_unary_stream = _with
    intercept_stream_unary = intercept_stream_stream = _with


def channel(host, options=()):
    """A channel to a host, with certificates and a token where the test gives some."""
    import grpc

    certs, token = os.environ.get("FOREIGN_CERTS"), os.environ.get("FOREIGN_TOKEN")
    if certs:
        read = lambda name: (pathlib.Path(certs) / name).read_bytes()  # noqa: E731
        credentials = grpc.ssl_channel_credentials(read("ca.pem"), read("key.pem"), read("cert.pem"))
        opened = grpc.secure_channel(host, credentials, options=options)
    else:
        opened = grpc.insecure_channel(host, options=options)
    if not token:
        return opened
    kinds = (
        grpc.UnaryUnaryClientInterceptor,
        grpc.UnaryStreamClientInterceptor,
        grpc.StreamUnaryClientInterceptor,
        grpc.StreamStreamClientInterceptor,
    )
    return grpc.intercept_channel(opened, type("Shown", (Token, *kinds), {})(token))


def check(holds, what, quiet=False):
    """Ends the program if something does not hold."""
    if not holds:
        sys.exit(f"FAILED: {what}")
    if not quiet:
        print(f"ok: {what}", flush=True)


def within(seconds, holds, what):
    """Ends the program if something does not come to hold in time."""
    end = time.time() + seconds
    while not (held := holds()) and time.time() < end:
        time.sleep(0.1)
    check(held, what)
