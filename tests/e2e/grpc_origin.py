#!/usr/bin/python3
"""A gRPC server on loopback, over TLS, without protobuf: messages are bytes.

usage: grpc_origin.py CERTIFICATE_DIRECTORY READY

Writes its port to READY, and ends when its standard input does.
"""

import concurrent.futures
import os
import pathlib
import sys
import threading

import grpc


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", metadata.get("x-asked", "none")),))
    context.set_trailing_metadata((("x-trailing", "end"), ("x-data-bin", b"\x00\xff")))
    return b"<" + request + b">"


def client_stream(requests, context):
    return b"+".join(requests)


def server_stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def both_streams(requests, context):
    for request in requests:
        yield request.upper()


def fails(request, context):
    # Nothing was sent yet: the answer is trailers only.
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not here: 100 % \u00fcber")


def fails_late(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "after one")


waiting = threading.Event()
cancelled = threading.Event()


def hangs(request, context):
    context.add_callback(cancelled.set)
    waiting.set()
    while context.is_active() and not cancelled.wait(0.02):
        pass
    return b"never"


def was_cancelled(request, context):
    seen = waiting.is_set() and cancelled.wait(5)
    waiting.clear()
    cancelled.clear()
    return b"yes" if seen else b"no"


def big(request, context):
    return request * 3


def main():
    directory, ready = sys.argv[1:]
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "BothStreams": grpc.stream_stream_rpc_method_handler(both_streams),
        "Fails": grpc.unary_unary_rpc_method_handler(fails),
        "FailsLate": grpc.unary_stream_rpc_method_handler(fails_late),
        "Hangs": grpc.unary_unary_rpc_method_handler(hangs),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
        "Big": grpc.unary_unary_rpc_method_handler(big),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16),
                         options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("moat.Test", methods),))
    key, chain = (pathlib.Path(directory, "origin." + kind).read_bytes() for kind in ("key", "crt"))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
    server.start()
    pathlib.Path(ready + ".new").write_text(str(port))
    os.rename(ready + ".new", ready)
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
