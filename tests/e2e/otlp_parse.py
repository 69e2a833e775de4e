"""Reads OTLP/JSON, one ExportTraceServiceRequest a line, into the protocol's own classes.

For a Python that has opentelemetry-proto. Nothing may be unknown, and nothing lost: what the classes
write again must be what was read. Prints the spans, as the classes have them.
"""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def ids_as_bytes(value):
    """OTLP has ids in hex, where the JSON of Protobuf has base64. Empty lists are as good as none."""
    if isinstance(value, list):
        return [ids_as_bytes(element) for element in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    return {key: base64.b64encode(bytes.fromhex(content)).decode() if key in ids
            else ids_as_bytes(content) for key, content in value.items() if content != []}


def main():
    for line in sys.stdin:
        given = ids_as_bytes(json.loads(line))
        request = json_format.ParseDict(given, ExportTraceServiceRequest())
        binary = ExportTraceServiceRequest.FromString(request.SerializeToString())
        again = json_format.MessageToDict(binary, use_integers_for_enums=True)
        assert again == given, "%s\n%s" % (json.dumps(given), json.dumps(again))
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    print(json.dumps([span.trace_id.hex(), span.span_id.hex(), span.name,
                                      span.end_time_unix_nano - span.start_time_unix_nano]))


main()
