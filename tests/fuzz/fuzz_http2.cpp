// HTTP/2 of a hostile peer, in both roles and however it is cut: what is told keeps its order, what
// is taken for a request can be written as one of HTTP/1 that is read as the same one request, and
// nothing is told of what has ended.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "../proxy/http1_log.h"
#include "core/fd.h"
#include "proxy/http2_connection.h"
#include "proxy/http2_head.h"

using namespace moat;
using namespace moat::proxy;

namespace {

void need(bool truth) {
  if (!truth) abort();
}

size_t lines_of(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

// No reader of HTTP/1 may see two requests, or another one, where one of HTTP/2 was taken.
void check_request(const Headers& fields) {
  const auto head = request_from_http2(fields);
  if (!head) return;
  need(head->major == 2);
  if (head->method == "CONNECT") return;
  RequestHead plain = *head;
  plain.minor = 1;
  // Framing is added by who writes it, and not taken from the head.
  remove_all(plain.headers, "content-length");
  const std::string text = read_messages(Http1Reader::Role::requests, write_head(plain));
  need(text.compare(0, plain.method.size() + 1, plain.method + " ") == 0);
  need(text.find("|" + plain.path + " 1.1 none\n") != std::string::npos);
  need(text.size() > 4 && text.compare(text.size() - 4, 4, "end\n") == 0);
  need(lines_of(text) == 2 + plain.headers.size());
  const auto again = request_from_http2(request_to_http2(*head));
  need(again && again->method == head->method && again->path == head->path &&
       again->authority == head->authority);
}

void check_response(const Headers& fields) {
  const auto head = response_from_http2(fields);
  if (!head) return;
  ResponseHead plain = *head;
  plain.minor = 1;
  remove_all(plain.headers, "content-length");
  const std::string text =
      read_messages(Http1Reader::Role::responses, write_head(plain), SIZE_MAX, SIZE_MAX, "HEAD");
  need(text.compare(0, 3, std::to_string(plain.status)) == 0);
}

void check_trailers(const Headers& fields) {
  const auto trailers = trailers_from_http2(fields);
  if (!trailers) return;
  need(trailers_to_http2(*trailers).size() == trailers->size());
}

struct End final : Transport::Handler, Http2Connection::Handler {
  struct Stream {
    bool head = false;
    bool ended = false;
    bool closed = false;
  };
  End(Loop& loop, Fd fd, Http2Connection::Role as, unsigned options)
      : role(as), choices(options), transport(loop, std::move(fd), *this, {}) {
    Http2Limits limits;
    limits.head_bytes = 1024;
    limits.header_count = 16;
    limits.streams = 8;
    http2 = std::make_unique<Http2Connection>(loop, transport, *this, role, limits);
  }
  void on_input(Transport&) override {
    if (http2) http2->on_input();
  }
  void on_end(Transport&, bool clean) override {
    if (http2) http2->on_end(clean);
  }
  void on_drained(Transport&) override {
    if (http2) http2->on_drained();
  }
  void on_error(Transport&, const Error& error) override {
    if (http2) http2->on_error(error);
  }

  Stream& open(int32_t id) {
    Stream& stream = streams[id];
    need(!stream.closed);
    return stream;
  }
  // Does something, by what the input chose.
  void act(int32_t id) {
    choices = choices * 5 + 1;
    switch (choices >> 4 & 7) {
      case 0:
        return http2->reset(id, 8);
      case 1:
        return http2->cut(id);
      case 2:
        return http2->stop_receiving(id);
      case 3:
        http2.reset();
        return;
      case 4:
        return http2->shut_down(0);
      default:
        break;
    }
    if (role == Http2Connection::Role::server) http2->send_fields(id, {{":status", "200"}}, false);
    http2->send_data(id, "some data");
    http2->send_end(id, {{"x-trailer", "1"}});
  }
  void on_fields(int32_t id, Http2Connection::Block block, Headers fields, bool large) override {
    Stream& stream = open(id);
    need(!stream.ended);
    need(!large || fields.empty());
    need((block == Http2Connection::Block::trailers) == stream.head);
    if (block == Http2Connection::Block::head) stream.head = true;
    check_request(fields);
    check_response(fields);
    check_trailers(fields);
    act(id);
  }
  void on_data(int32_t id, std::string_view bytes) override {
    const Stream& stream = open(id);
    need(stream.head && !stream.ended);
    http2->consumed(id, bytes.size());
  }
  void on_stream_end(int32_t id) override {
    Stream& stream = open(id);
    need(!stream.ended);
    stream.ended = true;
    act(id);
  }
  void on_stream_drained(int32_t id) override { open(id); }
  void on_malformed(int32_t, std::string_view why) override { need(!why.empty()); }
  void on_stream_closed(int32_t id, uint32_t) override { open(id).closed = true; }
  void on_goaway(int32_t, uint32_t) override {}
  void on_connection_over(const Error*) override {
    need(!over);
    over = true;
  }

  Http2Connection::Role role;
  unsigned choices;
  bool over = false;
  std::map<int32_t, Stream> streams;
  Transport transport;
  std::unique_ptr<Http2Connection> http2;
};

void check_connection(std::string_view bytes, unsigned options, size_t piece) {
  static Loop loop;
  auto pair = make_socket_pair(SOCK_STREAM);
  if (!pair) return;
  const bool client = (options & 1) != 0;
  End end(loop, std::move(pair->first),
          client ? Http2Connection::Role::client : Http2Connection::Role::server, options);
  std::string text;
  if (!client) text = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  if ((options & 2) != 0) text += std::string("\0\0\0\x04\0\0\0\0\0", 9);
  text += bytes;
  for (int i = 0; client && i < 3; ++i) {
    (void)end.http2->open_stream({{":method", i == 2 ? "HEAD" : "GET"},
                                  {":scheme", "https"},
                                  {":authority", "a.example"},
                                  {":path", "/"}},
                                 i != 0);
  }
  piece = std::max(piece, text.size() / 64 + 1);
  for (size_t at = 0; at < text.size() && end.http2; at += piece) {
    const std::string_view part = std::string_view(text).substr(at, piece);
    if (::send(pair->second.get(), part.data(), part.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
      break;
    loop.turn(Milliseconds(0));
    char heard[4096];
    while (::recv(pair->second.get(), heard, sizeof heard, MSG_DONTWAIT) > 0) {
    }
  }
  pair->second.reset();
  for (int i = 0; i < 8; ++i) loop.turn(Milliseconds(0));
  if (end.http2) need(end.over);
}

// Lines of "name: value".
void check_heads(std::string_view text) {
  Headers fields;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t mark = line.find(": ", 1);
    if (mark == std::string_view::npos) continue;
    fields.push_back({std::string(line.substr(0, mark)), std::string(line.substr(mark + 2))});
  }
  check_request(fields);
  check_response(fields);
  check_trailers(fields);
}

}  // namespace

// The first byte says the role and what is done, the second where the cuts are.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (data[0] == 0xff) {
    check_heads(bytes);
  } else {
    check_connection(bytes, data[0], data[1] + size_t{1});
  }
  return 0;
}
