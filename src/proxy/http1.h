// HTTP/1.1 messages, strictly by RFC 9112: bytes in, structs out. Knows no socket and no policy.
//
// What two parsers could read differently is an error: bare CR or LF, obs-fold, white space before
// a colon, NUL and other control bytes, more than one Host, more than one Content-Length or one
// that is not a plain number, Content-Length beside Transfer-Encoding, a Transfer-Encoding that is
// not exactly "chunked" once, either name with underscores, either header where no body can be,
// chunk sizes that are not plain hex or overflow, chunk extensions past the limit, trailers that
// are framing, known methods in another case, expectations other than "100-continue".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "proxy/http.h"

namespace moat::proxy {

struct Http1Limits {
  size_t head_bytes = 64 * 1024;  // request line or status line, and all headers
  size_t header_count = 200;
  size_t target_bytes = 16 * 1024;
  size_t chunk_line_bytes = 256;  // chunk size with its extensions
  size_t trailer_bytes = 8 * 1024;
  int interim_responses = 1000;  // 1xx before one response
};

// Told as bytes are fed. Views are valid during the call only. Each message is a head, pieces of
// body, trailers and an end; but an interim response (1xx except 101) is on_response() alone.
// What needs no further bytes (the end of a message without a body) is told at once, hold() or not.
// None of them may destroy the reader.
class Http1Handler {
 public:
  virtual ~Http1Handler() = default;
  virtual Result<void> on_request(RequestHead head, BodyLength length) = 0;
  virtual Result<void> on_response(ResponseHead head, BodyLength length) = 0;
  virtual Result<void> on_body(std::string_view bytes) = 0;
  virtual Result<void> on_trailers(Headers trailers) = 0;  // only when there are any
  virtual Result<void> on_message_end() = 0;
};

// Reads one direction of a connection: requests, or responses, one after another.
class Http1Reader {
 public:
  enum class Role { requests, responses };
  Http1Reader(Role role, Http1Handler& handler, Http1Limits limits = {});

  // Consumes a prefix of `bytes` and returns its length; what is left (an incomplete line, or all
  // that comes after hold()) is to be fed again with more behind it. An error of the syntax has
  // Errc::invalid (answer 400), of a limit Errc::too_large (431, 414 or 413 by what the message
  // says); errors of the handler pass through.
  Result<size_t> feed(std::string_view bytes);
  // Stops after the message that is being read, or in the callback that calls it; feed() then
  // consumes nothing until release().
  void hold();
  void release();
  // The peer has ended its direction. An error (Errc::closed) in the middle of a message; the end
  // of one whose body goes on until close.
  Result<void> end();

  // For a responses reader: what the next response answers, for framing (RFC 9112 6.3): HEAD and
  // CONNECT change it. To be told before its first byte is fed. 1xx responses leave it in place.
  void expect_response_to(std::string_view method);
  [[nodiscard]] bool between_messages() const;
  // After a 101 or a 2xx to CONNECT, or for what else follows: bytes are body until close. Until
  // it is called, a reader of such a response consumes nothing more.
  void become_tunnel();

 private:
  enum class State {
    head,         // the lines of a head, or nothing yet
    counted,      // left_ bytes of body
    chunk_size,   // the line before a chunk
    chunk_data,   // left_ bytes of a chunk
    chunk_end,    // the CRLF behind it
    trailers,     // lines up to the empty one
    until_close,  // body to the end of the connection
    switched,     // behind a 101 or a 2xx to CONNECT: not HTTP any more
    broken,       // after an error
  };
  Result<size_t> step(std::string_view bytes);  // 0: needs more, or was stopped
  Result<size_t> read_head(std::string_view bytes);
  Result<size_t> read_body(std::string_view bytes);
  Result<size_t> read_chunk_size(std::string_view bytes);
  Result<size_t> read_chunk_end(std::string_view bytes);
  Result<size_t> read_trailers(std::string_view bytes);
  Result<void> take_request(std::string_view lines);
  Result<void> take_response(std::string_view lines);
  Result<void> begin_body(BodyLength length);
  Result<void> end_message();
  Result<std::optional<size_t>> find_block(std::string_view bytes, size_t limit);

  Http1Handler& handler_;
  Http1Limits limits_;
  Role role_;
  State state_ = State::head;
  uint64_t left_ = 0;
  size_t seen_ = 0;           // bytes of an incomplete piece that were looked at, never more
  size_t line_start_ = 0;     // of the line that seen_ lies in
  bool feeding_ = false;      // inside feed(), so hold() stops at once
  bool stopped_ = false;      // nothing is consumed
  bool stop_at_end_ = false;  // of the message that is being read
  bool skipped_line_ = false;
  int interim_ = 0;  // since the last response
  bool head_request_ = false;
  bool connect_request_ = false;
};

// Writers. The head in origin-form (or authority-form for CONNECT) with Host back at its place.
std::string write_head(const RequestHead& head);
std::string write_head(const ResponseHead& head);
std::string chunk(std::string_view bytes);  // one chunk with its size line; "" for no bytes
std::string last_chunk(const Headers& trailers);
bool is_token(std::string_view text);  // RFC 9110 5.6.2

// "host", "host:port", "[v6]:port": host in lower case without brackets or a final dot. Errors for
// user info, empty hosts, bad ports, characters that no host has.
struct Authority {
  std::string host;
  std::optional<uint16_t> port;
};
Result<Authority> parse_authority(std::string_view text);

}  // namespace moat::proxy
