// The head of an HTTP/1 message, from its first line to the empty one: text in, structs out.
#pragma once

#include <string_view>

#include "core/result.h"
#include "proxy/http1.h"

namespace moat::proxy {

// `text`: all lines, each with its CRLF, the empty one not among them. Errc::invalid, or
// Errc::too_large for a limit.
Result<RequestHead> parse_request_head(std::string_view text, const Http1Limits& limits);
Result<ResponseHead> parse_response_head(std::string_view text, const Http1Limits& limits);
// Fields only. Refuses what must not come after a body: framing, routing, credentials.
Result<Headers> parse_trailers(std::string_view text, const Http1Limits& limits);

// RFC 9112 6.3, and an error where it leaves room for two readings.
Result<BodyLength> request_length(const RequestHead& head);
// `to_head`, `to_connect`: the method that the response answers.
Result<BodyLength> response_length(const ResponseHead& head, bool to_head, bool to_connect);

// What holds for a head in any version. Methods: tokens, and no known one in another case. Field
// names: tokens, and no framing header's but for an underscore. Expect: "100-continue", once.
// Values: no control character (RFC 9110 5.5). Targets: neither white space nor a fragment.
// Trailers, by their lower-case name: nothing that frames or routes a message or proves who sends
// it (RFC 9110 6.5.1).
bool is_method(std::string_view text);
bool is_field_name(std::string_view text);
Result<void> check_expect(const Headers& headers);
bool is_field_text(std::string_view text);
bool is_target_text(std::string_view text);
bool may_be_trailer(std::string_view name);

// RFC 9112 7.1: the size in a chunk's first line, given without its CRLF.
Result<uint64_t> parse_chunk_line(std::string_view line);

}  // namespace moat::proxy
