// One end of an HTTP/2 connection, and what it was told.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "proxy/http2_connection.h"
#include "proxy/tls.h"
#include "proxy/transport.h"

namespace moat::test {

using namespace moat::proxy;

struct SeenStream {
  // Of the head that counts: a status, or another header's value.
  [[nodiscard]] std::string value(const char* name) const {
    for (const auto& [block, fields] : blocks) {
      if (block != Http2Connection::Block::head) continue;
      const Header* field = find(fields, name);
      return field == nullptr ? "(none)" : field->value;
    }
    return "(no head)";
  }

  std::vector<std::pair<Http2Connection::Block, Headers>> blocks;
  std::string body;
  bool too_large = false;
  bool ended_with_head = false;
  bool ended = false;
  bool closed = false;
  uint32_t code = 0;
  int drained = 0;
  std::string malformed;
};

// One end: a transport, the HTTP/2 on it, and what was told.
struct Http2End final : Transport::Handler, Http2Connection::Handler {
  void begin(Loop& on_loop, Fd fd, Http2Connection::Role as, const Http2Limits& with = {},
             Stream::Limits buffers = {}, std::unique_ptr<TlsSession> tls = nullptr) {
    loop = &on_loop;
    role = as;
    limits = with;
    transport = std::make_unique<Transport>(on_loop, std::move(fd), *this, buffers);
    if (!tls) return speak();
    transport->start_tls(std::move(tls));
  }
  void speak() {
    http2 = std::make_unique<Http2Connection>(*loop, *transport, *this, role, limits);
  }
  void on_ready(Transport& ready) override {
    if (ready.tls() == nullptr) return;
    alpn = ready.tls()->alpn();
    speak();
  }
  void on_input(Transport&) override {
    if (http2) http2->on_input();
  }
  void on_end(Transport&, bool clean) override {
    gone = true;
    if (http2) http2->on_end(clean);
  }
  void on_drained(Transport&) override {
    if (http2) http2->on_drained();
  }
  void on_error(Transport&, const Error& error) override {
    gone = true;
    if (http2) http2->on_error(error);
  }

  void on_fields(int32_t id, Http2Connection::Block block, Headers fields, bool large) override {
    last = id;
    SeenStream& stream = streams[id];
    stream.blocks.emplace_back(block, std::move(fields));
    stream.too_large = large;
    stream.ended_with_head = http2->peer_ended(id);
    if (then) then(id);
  }
  void on_data(int32_t id, std::string_view bytes) override {
    streams[id].body += bytes;
    if (take) http2->consumed(id, bytes.size());
    if (then) then(id);
  }
  void on_stream_end(int32_t id) override {
    streams[id].ended = true;
    if (then) then(id);
  }
  void on_stream_drained(int32_t id) override {
    streams[id].drained++;
    if (then) then(id);
  }
  void on_malformed(int32_t id, std::string_view what) override { streams[id].malformed = what; }
  void on_stream_closed(int32_t id, uint32_t code) override {
    streams[id].closed = true;
    streams[id].code = code;
    if (then) then(id);
  }
  void on_settings() override { settings++; }
  void on_goaway(int32_t last_stream, uint32_t code) override {
    goaway = true;
    goaway_last = last_stream;
    goaway_code = code;
  }
  void on_connection_over(const Error* failure) override {
    over++;
    if (failure != nullptr) why = failure->message;
  }

  Loop* loop = nullptr;
  Http2Connection::Role role = Http2Connection::Role::client;
  Http2Limits limits;
  std::string alpn;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Http2Connection> http2;
  std::map<int32_t, SeenStream> streams;
  std::function<void(int32_t)> then;
  int32_t last = 0;
  bool take = true;  // consumes what comes
  int settings = 0;
  bool goaway = false;
  int32_t goaway_last = 0;
  uint32_t goaway_code = 0;
  bool gone = false;  // the transport's other end
  int over = 0;
  std::string why;
};

}  // namespace moat::test
