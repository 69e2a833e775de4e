// The heads of HTTP/2 messages (RFC 9113 8) as the heads that an exchange knows, and back.
//
// An exchange is written in the words of HTTP/1.1 (sides.h): end-to-end headers, `authority` apart,
// and a WebSocket as "GET" with "Upgrade: websocket" and a 101. Whoever speaks HTTP/2 translates at
// its edge, so that no exchange knows what the other side speaks. Pure functions, strict: what two
// readers could take differently is Errc::invalid (PROTOCOL_ERROR of the stream), what is too much
// is Errc::too_large (431).
#pragma once

#include <string>

#include "core/result.h"
#include "proxy/http.h"

namespace moat::proxy {

// Fields as they stood in a header block: pseudo-headers are those whose name begins with ':'.

// A request: exactly one each of :method, :scheme, :path (none but :authority for CONNECT), in
// front of all else and known; lower-case names; no connection-specific field but "te: trailers",
// which is kept; `cookie` crumbs joined by "; " in their first place; a Host that differs from
// :authority is refused, one that agrees is dropped. The path is "/…" or "*".
// An extended CONNECT (RFC 8441) of :protocol "websocket" becomes GET with Upgrade, Connection and
// a Sec-WebSocket-Key of our own; of any other protocol it is Errc::unsupported (501).
Result<RequestHead> request_from_http2(Headers fields);
// How long its body is; `ended`: the stream has ended with the head. The length that it announces,
// or `chunked`; nothing where it has become an upgrade.
Result<BodyLength> request_length_from_http2(const RequestHead& head, bool ended);
// A response: exactly one :status of three digits, 101 refused (RFC 9113 8.6).
Result<ResponseHead> response_from_http2(Headers fields);
// No pseudo-headers, no framing, nothing that concerns a connection.
Result<Headers> trailers_from_http2(Headers fields);

// Lower-case names, Host only as :authority, nothing that concerns a connection; a request that
// asks for a WebSocket becomes an extended CONNECT without its key.
Headers request_to_http2(const RequestHead& head);
// A 101 becomes 200, without what only HTTP/1 needs (Upgrade, Sec-WebSocket-Accept).
Headers response_to_http2(const ResponseHead& head);
Headers trailers_to_http2(const Headers& trailers);

// What a server answers to this Sec-WebSocket-Key (RFC 6455 4.2.2): whoever stands between the two
// versions makes it itself.
std::string websocket_accept(const std::string& key);

}  // namespace moat::proxy
