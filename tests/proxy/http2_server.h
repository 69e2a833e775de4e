// An origin that speaks HTTP/2 on loopback, by a script, and HTTP/1.1 to who wants no other. On the
// wall's loop. Include it last, for it includes wall.h.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/http2_connection.h"

#include "wall.h"

namespace moat::test {

struct Http2Server;

// A request as it came, and what became of its stream.
struct Http2Request {
  int32_t stream = 0;
  Headers fields;
  std::string body;
  Headers trailers;
  bool ended = false;
  bool closed = false;
  uint32_t code = 0;
  [[nodiscard]] std::string field(std::string_view name) const {
    const Header* header = find(fields, name);
    return header == nullptr ? "(none)" : header->value;
  }
};

struct Http2Peer final : Transport::Handler, Http2Connection::Handler {
  Http2Peer(Http2Server& on_server, Fd fd);

  void on_ready(Transport& t) override;
  void on_input(Transport& t) override;
  void on_end(Transport&, bool was_clean) override {
    gone = true;
    clean = was_clean;
    if (http2 && !over) http2->on_end(was_clean);
  }
  void on_drained(Transport&) override {
    if (http2 && !over) http2->on_drained();
  }
  void on_error(Transport&, const Error& error) override {
    gone = true;
    if (http2 && !over) http2->on_error(error);
  }

  void on_fields(int32_t stream, Http2Connection::Block block, Headers fields, bool) override;
  void on_data(int32_t stream, std::string_view bytes) override;
  void on_stream_end(int32_t stream) override;
  void on_stream_drained(int32_t) override {}
  void on_stream_closed(int32_t stream, uint32_t code) override {
    requests[stream].closed = true;
    requests[stream].code = code;
  }
  void on_goaway(int32_t, uint32_t) override { told_goaway = true; }
  void on_connection_over(const Error*) override { over = true; }

  void answer(int32_t stream, const Headers& fields, std::string_view body) {
    http2->send_fields(stream, fields, body.empty());
    if (body.empty()) return;
    http2->send_data(stream, body);
    http2->send_end(stream, {});
  }

  Http2Server& server;
  Transport transport;
  std::unique_ptr<Http2Connection> http2;  // once "h2" was agreed
  std::map<int32_t, Http2Request> requests;
  std::string received;  // where HTTP/1.1 was
  bool gone = false;
  bool clean = false;
  bool over = false;
  bool told_goaway = false;
};

struct Http2Server {
  Http2Server(Loop& on_loop, TlsContext& with) : loop(on_loop), tls(with) {
    watch.emplace(loop, fd.get(), [this](Ready) {
      Fd next(accept4(fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (next) peers.push_back(std::make_unique<Http2Peer>(*this, std::move(next)));
    });
    watch->want(true, false);
  }
  [[nodiscard]] Http2Peer& last() { return *peers.back(); }
  [[nodiscard]] size_t accepted() const { return peers.size(); }
  // The requests of all connections, in the order in which they came.
  [[nodiscard]] Http2Request& request(size_t index) {
    return order.at(index).first->requests[order.at(index).second];
  }
  [[nodiscard]] size_t ended() const {
    size_t count = 0;
    for (const auto& [peer, stream] : order) count += peer->requests[stream].ended ? 1 : 0;
    return count;
  }

  Loop& loop;
  TlsContext& tls;
  uint16_t port = 0;
  Fd fd = listen_on_loopback(&port);
  std::optional<Watch> watch;
  std::string name = "api.example.com";
  std::vector<std::string> alpn{"h2", "http/1.1"};
  Http2Limits limits;
  bool consumes = true;  // bodies, as they come
  // At the head, and at the end of a request; by default the end is answered with "ok".
  std::function<void(Http2Peer&, Http2Request&)> on_head;
  std::function<void(Http2Peer&, Http2Request&)> on_end = [](Http2Peer& peer, Http2Request& r) {
    peer.answer(r.stream, {{":status", "200"}, {"content-length", "2"}}, "ok");
  };
  // Of a connection that speaks HTTP/1.1, for each whole head.
  std::function<void(Http2Peer&)> on_http1 = [](Http2Peer& peer) {
    peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold");
  };
  std::vector<std::pair<Http2Peer*, int32_t>> order;
  std::list<std::unique_ptr<Http2Peer>> peers;
};

inline Http2Peer::Http2Peer(Http2Server& on_server, Fd fd)
    : server(on_server), transport(on_server.loop, std::move(fd), *this, {}) {
  transport.start_tls(need(TlsSession::server(server.tls, server.name, server.alpn)));
}

inline void Http2Peer::on_ready(Transport& t) {
  if (t.tls() == nullptr || t.tls()->alpn() != "h2") return;
  http2 = std::make_unique<Http2Connection>(server.loop, transport, *this,
                                            Http2Connection::Role::server, server.limits);
}

inline void Http2Peer::on_input(Transport& t) {
  if (http2) {
    if (!over) http2->on_input();
    return;
  }
  received += t.input();
  t.consume(t.input().size());
  if (received.find("\r\n\r\n") == std::string::npos) return;
  server.on_http1(*this);
}

inline void Http2Peer::on_fields(int32_t stream, Http2Connection::Block block, Headers fields,
                                 bool) {
  Http2Request& request = requests[stream];
  if (block == Http2Connection::Block::trailers) {
    request.trailers = std::move(fields);
    return;
  }
  request.stream = stream;
  request.fields = std::move(fields);
  server.order.emplace_back(this, stream);
  if (server.on_head) server.on_head(*this, request);
}

inline void Http2Peer::on_data(int32_t stream, std::string_view bytes) {
  requests[stream].body += bytes;
  if (server.consumes) http2->consumed(stream, bytes.size());
}

inline void Http2Peer::on_stream_end(int32_t stream) {
  requests[stream].ended = true;
  if (server.on_end) server.on_end(*this, requests[stream]);
}

// A wall whose names all lead to such an origin.
struct Http2Wall : Wall {
  Http2Wall() { settings.connect_to["*"] = "127.0.0.1:" + std::to_string(server.port); }
  // A request of an HTTP/1.1 agent on a connection of its own, or on `agent`.
  Peer& ask(const std::string& head, const std::string& body = "", Peer* agent = nullptr) {
    Peer& asker = agent == nullptr ? connect_tls("api.example.com") : *agent;
    asker.received.clear();
    asker.say(head + "Host: api.example.com\r\n\r\n" + body);
    return asker;
  }
  Peer& get(const std::string& path = "/") { return ask("GET " + path + " HTTP/1.1\r\n"); }
  // After this the origin is known to speak HTTP/2.
  void warm() {
    Peer& agent = get("/warm");
    until_has(agent, "\r\n\r\nok");
    until([this] { return upstream->shared() == 1; });
    server.order.clear();
  }

  Http2Server server{loop, origin_tls};
};

}  // namespace moat::test
