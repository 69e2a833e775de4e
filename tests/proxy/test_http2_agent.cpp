#include "proxy/http2_agent.h"

#include <string>

#include "core/text.h"
#include "http2_end.h"
#include "http2_frames.h"
#include "proxy/http2_head.h"

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using namespace moat::test;

namespace {

// A program that speaks HTTP/2, to begin with in clear text, and an origin that speaks HTTP/1.1.
struct Http2Wall : Wall {
  ~Http2Wall() { sessions.clear(); }

  void speak(const char* name = "api.example.com", uint16_t port = 80) {
    agent.begin(loop, open(address_of(name, port)), Http2Connection::Role::client);
    scheme = "http";
  }
  void speak_tls(const char* server_name = "api.example.com",
                 const std::vector<std::string>& alpn = {"h2", "http/1.1"}) {
    agent.begin(loop, open(address_of("api.example.com", 443)), Http2Connection::Role::client, {},
                {}, need(TlsSession::client(agent_context, server_name, alpn, "")));
    scheme = "https";
    until([this] { return agent.http2 != nullptr || agent.gone; });
  }
  Headers request(const char* method, const char* path, Headers more = {}) const {
    Headers fields = {{":method", method},
                      {":scheme", scheme},
                      {":authority", "api.example.com"},
                      {":path", path}};
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  }
  SeenStream& ask(const Headers& fields, bool end = true) {
    last = need(agent.http2->open_stream(fields, end));
    return agent.streams[last];
  }
  SeenStream& get(const char* path = "/") { return ask(request("GET", path)); }
  bool ended(const SeenStream& stream) {
    return until([&] { return stream.closed || stream.ended || agent.over > 0; }) && stream.ended;
  }
  bool answered(const SeenStream& stream, const char* status) {
    if (ended(stream) && stream.value(":status") == status) return true;
    print_error("instead of %s: %s %s (code %u, %s)\n", status, stream.value(":status").c_str(),
                stream.body.c_str(), stream.code, agent.why.c_str());
    return false;
  }
  // The agent's bytes as the test likes them.
  Peer& attack(const std::string& bytes) {
    Peer& peer = connect("api.example.com", 80);
    peer.say(preface() + bytes);
    return peer;
  }
  // Frames of the wall's that came, of this type.
  std::vector<Frame> heard(Peer& peer, uint8_t type) {
    for (Frame& one : take_frames(peer.received)) frames.push_back(std::move(one));
    std::vector<Frame> out;
    for (const Frame& one : frames) {
      if (one.type == type) out.push_back(one);
    }
    return out;
  }
  bool told_reason(const char* part) {
    return until([&] {
      for (const Exchange& one : recorder.exchanges) {
        if (one.reason.find(part) != std::string::npos) return true;
      }
      return false;
    });
  }

  Http2End agent;
  std::string scheme;
  int32_t last = 0;
  std::vector<Frame> frames;
};

void a_request_becomes_one_of_http1(Http2Wall& t) {
  t.speak();
  t.origin.answers = {"HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nX-Case: Kept\r\n\r\nhello"};
  const SeenStream& seen =
      t.ask(t.request("GET", "/a?b=c", {{"x-one", "1"}, {"cookie", "a=1"}, {"cookie", "b=2"}}));
  assert_true(t.answered(seen, "200"));
  assert_string_equal(seen.body.c_str(), "hello");
  assert_string_equal(seen.value("x-case").c_str(), "Kept");
  assert_string_equal(seen.value("content-length").c_str(), "5");
  const std::string wanted =
      "GET /a?b=c HTTP/1.1\r\nHost: api.example.com\r\nx-one: 1\r\ncookie: a=1; b=2\r\n\r\n";
  assert_string_equal(t.origin.last().c_str(), wanted.c_str());
  assert_true(t.until_told());
  assert_string_equal(t.told().client_version.c_str(), "HTTP/2");
  assert_string_equal(t.told().origin_version.c_str(), "HTTP/1.1");
  assert_string_equal(t.told().path.c_str(), "/a?b=c");
  assert_int_equal(t.told().status, 200);
  assert_true(t.told().complete);
}

void http2_is_agreed_on_within_tls(Http2Wall& t) {
  t.speak_tls();
  assert_string_equal(t.agent.alpn.c_str(), "h2");
  t.origin_speaks_tls();
  assert_true(t.answered(t.get(), "200"));
  assert_true(t.until_told());
  assert_string_equal(t.told().scheme.c_str(), "https");
}

void http2_known_before_is_served_within_tls(Http2Wall& t) {
  t.speak_tls("api.example.com", {});
  assert_string_equal(t.agent.alpn.c_str(), "");
  t.origin_speaks_tls();
  assert_true(t.answered(t.get(), "200"));
}

void our_preface_does_not_wait_for_the_agents(Http2Wall& t) {
  Peer& peer = t.connect("api.example.com", 443);
  peer.start_tls(need(TlsSession::client(t.agent_context, "api.example.com", {"h2"}, "")));
  assert_true(t.until([&] { return !t.heard(peer, frame_settings).empty(); }));
}

void many_exchanges_go_side_by_side(Http2Wall& t) {
  t.speak();
  t.origin.script = [](Peer& peer) {
    while (peer.has("\r\n\r\n")) {
      const size_t start = peer.received.find(' ') + 1;
      const std::string path = peer.received.substr(start, peer.received.find(' ', start) - start);
      peer.received.erase(0, peer.received.find("\r\n\r\n") + 4);
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(path.size()) +
                           "\r\n\r\n" + path);
    }
  };
  std::vector<int32_t> ids;
  for (int i = 0; i < 100; ++i) {
    t.get(("/" + std::to_string(i)).c_str());
    ids.push_back(t.last);
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const SeenStream& seen = t.agent.streams[ids[i]];
    assert_true(t.answered(seen, "200"));
    const std::string path = "/" + std::to_string(i);
    assert_string_equal(seen.body.c_str(), path.c_str());
  }
  assert_true(t.until_told(100));
}

void a_body_and_its_trailers_go_both_ways(Http2Wall& t) {
  t.speak();
  std::string got;
  t.origin.script = [&got](Peer& peer) {
    if (!peer.has("\r\n0\r\n")) return;
    if (peer.received.find("\r\n\r\n", peer.received.find("\r\n0\r\n")) == std::string::npos)
      return;
    got = peer.received;
    peer.received.clear();
    peer.transport.write(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
        "4\r\nbody\r\n0\r\nX-T: 2\r\n\r\n");
  };
  const SeenStream& seen = t.ask(t.request("POST", "/", {{"te", "trailers"}}), false);
  t.agent.http2->send_data(t.last, "up");
  t.agent.http2->send_end(t.last, {{"x-up", "1"}});
  assert_true(t.answered(seen, "200"));
  const bool sent = got.find("2\r\nup\r\n0\r\nx-up: 1\r\n\r\n") != std::string::npos;
  assert_true(sent);
  const bool te = got.find("TE: trailers\r\nConnection: TE\r\n") != std::string::npos;
  assert_true(te);
  assert_int_equal(seen.blocks.size(), 2);
  assert_int_equal(seen.blocks[1].first, Http2Connection::Block::trailers);
  assert_string_equal(seen.blocks[1].second[0].name.c_str(), "x-t");
}

void a_placeholder_in_a_trailer_ends_the_exchange(Http2Wall& t) {
  const std::string fake = "ghp_0123456789abcdefABCDEF0123456789abcd";
  t.settings.placeholders.push_back({"github", fake, {"api.github.com"}});
  t.speak();
  t.origin.script = [](Peer&) {};
  const SeenStream& seen = t.ask(t.request("POST", "/"), false);
  t.agent.http2->send_data(t.last, "up");
  t.agent.http2->send_end(t.last, {{"x-sum", base64("user:" + fake)}});
  assert_true(t.answered(seen, "403"));
  assert_true(t.told_reason("the placeholder of the grant github to api.example.com"));
  assert_false(t.origin.peers.back()->has("0\r\n"));
}

void a_credential_is_put_into_a_body(Http2Wall& t) {
  t.origin_speaks_tls();
  Injection injection{"search",
                      "api.example.com",
                      "",
                      Secret("real-s3cret"),
                      Secret("real-s3cret"),
                      Injection::Place::json};
  injection.members = {"key"};
  t.injections.push_back(std::move(injection));
  t.speak_tls();
  const Headers json = {{"content-type", "application/json"}};
  const SeenStream& seen = t.ask(t.request("POST", "/", json), false);
  t.agent.http2->send_data(t.last, "{\"key\":");
  t.agent.http2->send_data(t.last, "\"fake\"}");
  t.agent.http2->send_end(t.last, {});
  assert_true(t.answered(seen, "200"));
  const std::string sent = t.origin.last();
  assert_true(sent.ends_with("\r\n\r\n{\"key\":\"real-s3cret\"}"));
  assert_true(sent.find("Content-Length: 21\r\n") != std::string::npos);
}

void a_body_of_known_length_stays_one(Http2Wall& t) {
  t.speak();
  const SeenStream& seen = t.ask(t.request("PUT", "/", {{"content-length", "4"}}), false);
  t.agent.http2->send_data(t.last, "four");
  t.agent.http2->send_end(t.last, {});
  assert_true(t.answered(seen, "200"));
}

void early_hints_and_100_continue_pass(Http2Wall& t) {
  t.speak();
  t.origin.script = [](Peer& peer) {
    if (peer.has("\r\n\r\n") && !peer.has("body")) {
      if (!peer.forgetful) {
        peer.transport.write(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n");
      }
      peer.forgetful = false;
    }
    if (peer.has("body")) peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  };
  const SeenStream& seen =
      t.ask(t.request("POST", "/", {{"content-length", "4"}, {"expect", "100-continue"}}), false);
  assert_true(t.until([&] { return seen.blocks.size() == 2; }));
  assert_string_equal(seen.blocks[0].second[0].value.c_str(), "100");
  assert_string_equal(seen.blocks[1].second[0].value.c_str(), "103");
  assert_string_equal(seen.blocks[1].second[1].value.c_str(), "</a>");
  t.agent.http2->send_data(t.last, "body");
  t.agent.http2->send_end(t.last, {});
  assert_true(t.answered(seen, "200"));
}

void head_and_empty_answers_end_with_their_head(Http2Wall& t) {
  t.speak();
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                      "HTTP/1.1 204 No Content\r\n\r\n",
                      "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
                      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
  const SeenStream& head = t.ask(t.request("HEAD", "/"));
  assert_true(t.answered(head, "200"));
  assert_string_equal(head.value("content-length").c_str(), "1000");
  for (const char* status : {"204", "304", "200"}) {
    const SeenStream& seen = t.get();
    assert_true(t.answered(seen, status));
    assert_true(seen.ended_with_head);
  }
}

void a_body_until_close_has_an_end(Http2Wall& t) {
  t.speak();
  t.origin.answers = {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthat is all"};
  const SeenStream& seen = t.get();
  assert_true(t.answered(seen, "200"));
  assert_string_equal(seen.body.c_str(), "that is all");
}

void an_answer_that_breaks_off_is_reset(Http2Wall& t) {
  t.speak();
  t.origin.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf of"};
  const SeenStream& seen = t.get();
  assert_true(t.until([&] { return seen.closed; }));
  assert_string_equal(seen.body.c_str(), "half of");
  assert_false(seen.ended);
  assert_int_equal(seen.code, 2);
  assert_true(t.until_told());
  assert_false(t.told().complete);
}

void a_refusal_is_an_answer_and_others_go_on(Http2Wall& t) {
  t.settings.policy.mode = Policy::Mode::strict;
  t.speak();
  const SeenStream& seen = t.get();
  assert_true(t.answered(seen, "403"));
  const bool said = seen.body.find("refused by moat") != std::string::npos;
  assert_true(said);
  const bool reason = !seen.value("x-moat-reason").empty();
  assert_true(reason);
  assert_true(t.answered(t.get(), "403"));
  assert_int_equal(t.recorder.exchanges.size(), 2);
  assert_int_equal(t.origin.accepted, 0);
  assert_int_equal(t.agent.over, 0);
}

void each_authority_has_to_agree(Http2Wall& t) {
  t.speak_tls();
  t.origin_speaks_tls();
  assert_true(t.answered(t.get(), "200"));
  Headers other = t.request("GET", "/");
  other[2].value = "evil.example.com";
  assert_true(t.answered(t.ask(other), "421"));
  Headers port = t.request("GET", "/");
  port[2].value = "api.example.com:8443";
  assert_true(t.answered(t.ask(port), "421"));
  Headers scheme = t.request("GET", "/");
  scheme[1].value = "http";
  assert_true(t.answered(t.ask(scheme), "421"));
  assert_string_equal(t.told().method.c_str(), "GET");
  assert_true(t.answered(t.get(), "200"));
  assert_int_equal(t.origin.requests.size(), 2);
}

void a_host_that_is_not_the_authority_is_refused(Http2Wall& t) {
  t.speak();
  assert_true(t.answered(t.ask(t.request("GET", "/", {{"host", "evil.example.com"}})), "400"));
  assert_true(t.answered(t.ask(t.request("GET", "/", {{"host", "api.example.com"}})), "200"));
  const bool once = t.origin.last().find("evil") == std::string::npos;
  assert_true(once);
}

void a_server_name_for_another_host_is_told_on_each_stream(Http2Wall& t) {
  t.agent.begin(t.loop, t.open(t.address_of("api.example.com", 443)), Http2Connection::Role::client,
                {}, {}, need(TlsSession::client(t.agent_context, "other.example.com", {"h2"}, "")));
  t.scheme = "https";
  assert_true(t.until([&] { return t.agent.http2 != nullptr; }));
  assert_true(t.answered(t.get(), "421"));
  assert_true(t.answered(t.get(), "421"));
  assert_int_equal(t.origin.accepted, 0);
}

void a_credential_is_put_on_and_kept_out_of_the_answer(Http2Wall& t) {
  t.inject("api.example.com", "s3cret-value");
  t.origin_speaks_tls();
  t.origin.answers = {
      "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nX-Echo: s3cret-value\r\n\r\nyes s3cret-value"};
  t.speak_tls();
  const SeenStream& seen =
      t.ask(t.request("GET", "/", {{"authorization", "Bearer mine"}, {"x-api-key", "k"}}));
  assert_true(t.answered(seen, "200"));
  const bool sent =
      t.origin.last().find("Authorization: Bearer s3cret-value\r\n") != std::string::npos ||
      t.origin.last().find("authorization: Bearer s3cret-value\r\n") != std::string::npos;
  assert_true(sent);
  const bool foreign = t.origin.last().find("mine") != std::string::npos ||
                       t.origin.last().find("x-api-key") != std::string::npos;
  assert_false(foreign);
  const bool leaked = seen.body.find("s3cret") != std::string::npos ||
                      seen.value("x-echo").find("s3cret") != std::string::npos;
  assert_false(leaked);
}

void an_upload_waits_for_a_slow_origin(Http2Wall& t) {
  t.speak();
  Peer* slow = nullptr;
  t.origin.script = [&slow](Peer& peer) {
    if (slow == nullptr) peer.transport.pause_reading();
    slow = &peer;
    peer.forgetful = true;
    if (peer.total < 30'000'000) return;
    peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  };
  const SeenStream& seen = t.ask(t.request("POST", "/", {{"content-length", "30000000"}}), false);
  uint64_t sent = 0;
  const std::string piece(50'000, 'x');
  const auto push = [&] {
    while (sent < 30'000'000 && !t.agent.http2->full(1)) {
      t.agent.http2->send_data(1, piece);
      sent += piece.size();
      if (sent == 30'000'000) t.agent.http2->send_end(1, {});
    }
  };
  t.agent.then = [&](int32_t) { push(); };
  push();
  assert_true(t.until([&] { return slow != nullptr; }));
  for (int i = 0; i < 50; ++i) t.loop.turn(Milliseconds(1));
  const bool waits = sent < 20'000'000;
  assert_true(waits);
  slow->transport.resume_reading();
  assert_true(t.answered(seen, "200"));
  t.agent.then = nullptr;
}

void a_download_waits_for_a_slow_agent(Http2Wall& t) {
  t.speak();
  uint64_t sent = 0;
  const uint64_t whole = 30'000'000;  // far more than kernels buffer
  t.origin.script = [&](Peer& peer) {
    if (sent == 0)
      peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(whole) +
                           "\r\n\r\n");
    while (sent < whole && !peer.transport.full()) {
      peer.transport.write(std::string(50'000, 'x'));
      sent += 50'000;
    }
  };
  t.agent.take = false;
  const SeenStream& seen = t.get();
  assert_true(t.until([&] { return seen.body.size() >= 256 * 1024; }));
  for (int i = 0; i < 50; ++i) t.loop.turn(Milliseconds(1));
  const bool waits = sent < whole / 2;
  assert_true(waits);
  // Another stream is served meanwhile.
  t.agent.take = true;
  t.agent.http2->consumed(1, seen.body.size());
  assert_true(t.answered(seen, "200"));
  assert_int_equal(seen.body.size(), whole);
}

void an_agent_that_resets_a_stream_lets_go_of_its_origin(Http2Wall& t) {
  t.speak();
  Peer* waiting = nullptr;
  t.origin.script = [&waiting](Peer& peer) { waiting = &peer; };
  t.get();
  assert_true(t.until([&] { return waiting != nullptr; }));
  t.agent.http2->reset(1, 8);
  assert_true(t.until([&] { return waiting->gone(); }));
  assert_true(t.until_told());
  assert_false(t.told().complete);
  const bool said = t.told().reason.find("gave up") != std::string::npos;
  assert_true(said);
  t.origin.script = nullptr;
  assert_true(t.answered(t.get(), "200"));
}

void an_agent_that_goes_away_ends_all_its_exchanges(Http2Wall& t) {
  t.speak();
  int asked = 0;
  t.origin.script = [&asked](Peer& peer) {
    if (peer.has("\r\n\r\n")) asked++;
  };
  for (int i = 0; i < 5; ++i) t.get();
  assert_true(t.until([&] { return asked == 5; }));
  t.agent.transport->close();
  assert_true(t.until_told(5));
  assert_true(t.until([&] { return t.over == 1; }));
}

void an_answer_before_the_end_of_the_request_is_whole(Http2Wall& t) {
  t.speak();
  t.origin.script = [](Peer& peer) {
    if (!peer.has("\r\n\r\n")) return;
    peer.received.clear();
    peer.transport.write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
  };
  const SeenStream& seen = t.ask(t.request("POST", "/"), false);
  t.agent.http2->send_data(t.last, std::string(100'000, 'x'));
  assert_true(t.answered(seen, "413"));
  assert_string_equal(seen.body.c_str(), "no!");
  assert_true(t.until([&] { return seen.closed; }));
  t.origin.script = nullptr;
  assert_true(t.answered(t.get(), "200"));
}

void a_plain_connect_is_refused_with_a_reason(Http2Wall& t) {
  t.speak();
  const SeenStream& seen =
      t.ask({{":method", "CONNECT"}, {":authority", "api.example.com:443"}}, false);
  assert_true(t.answered(seen, "501"));
  const bool said = seen.body.find("HTTP/1.1") != std::string::npos;
  assert_true(said);
  assert_int_equal(t.origin.accepted, 0);
}

// --- WebSockets

const Headers websocket = {{":method", "CONNECT"},
                           {":protocol", "websocket"},
                           {":scheme", "http"},
                           {":authority", "api.example.com"},
                           {":path", "/chat"},
                           {"sec-websocket-version", "13"},
                           {"origin", "http://api.example.com"}};

// Answers an upgrade as a server of RFC 6455 does, then echoes.
void be_a_websocket(Peer& peer, bool right) {
  const size_t end = peer.received.find("\r\n\r\n");
  if (end == std::string::npos || peer.queued == "switched") {
    if (peer.queued == "switched") peer.transport.write(std::exchange(peer.received, {}));
    if (peer.ended) peer.transport.end_writing();
    return;
  }
  const size_t at = peer.received.find("Sec-WebSocket-Key: ") + 19;
  const std::string key = peer.received.substr(at, peer.received.find("\r\n", at) - at);
  peer.transport.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: " +
      websocket_accept(right ? key : "x") + "\r\n\r\nhi");
  peer.received.erase(0, end + 4);
  peer.queued = "switched";
  if (!peer.received.empty()) peer.transport.write(std::exchange(peer.received, {}));
}

void a_websocket_may_be_silent(Http2Wall& t) {
  t.settings.limits.idle = t.settings.limits.keep_alive = Milliseconds(50);
  t.speak();
  t.origin.script = [](Peer& peer) { be_a_websocket(peer, true); };
  const SeenStream& seen = t.ask(websocket, false);
  assert_true(t.until([&] { return seen.body == "hi"; }));
  Timer timer(t.loop, [&t] { t.loop.stop(); });
  timer.start(Milliseconds(200));
  t.loop.run();
  assert_false(seen.ended);
  t.agent.http2->send_data(1, "more");
  assert_true(t.until([&] { return seen.body == "himore"; }));
}

void a_websocket_becomes_an_upgrade(Http2Wall& t) {
  t.speak();
  std::string asked;
  t.origin.script = [&asked](Peer& peer) {
    if (peer.queued.empty()) asked = peer.received;
    be_a_websocket(peer, true);
  };
  const SeenStream& seen = t.ask(websocket, false);
  t.agent.http2->send_data(1, "early ");  // before the answer: it waits
  assert_true(t.until([&] { return seen.body == "hiearly "; }));
  assert_string_equal(seen.value(":status").c_str(), "200");
  assert_string_equal(seen.value("sec-websocket-accept").c_str(), "(none)");
  assert_string_equal(seen.value("upgrade").c_str(), "(none)");
  const bool upgrade = asked.compare(0, 19, "GET /chat HTTP/1.1\r\n", 19) == 0 &&
                       asked.find("Upgrade: websocket\r\n") != std::string::npos &&
                       asked.find("Connection: Upgrade\r\n") != std::string::npos;
  assert_true(upgrade);
  t.agent.http2->send_data(1, "more");
  assert_true(t.until([&] { return seen.body == "hiearly more"; }));
  assert_true(t.recorder.exchanges.empty());
  t.agent.http2->send_end(1, {});
  assert_true(t.until([&] { return seen.ended; }));
  assert_true(t.until_told());
  assert_int_equal(t.told().status, 101);
  assert_true(t.told().complete);
}

void an_origin_may_end_its_half_of_a_websocket_first(Http2Wall& t) {
  t.speak();
  Peer* server = nullptr;
  t.origin.script = [&server](Peer& peer) {
    server = &peer;
    if (peer.queued.empty()) {
      be_a_websocket(peer, true);
      if (!peer.queued.empty()) peer.transport.end_writing();
    }
  };
  const SeenStream& seen = t.ask(websocket, false);
  assert_true(t.until([&] { return seen.ended; }));
  assert_string_equal(seen.body.c_str(), "hi");
  t.agent.http2->send_data(1, "still talking");
  assert_true(t.until([&] { return server->has("still talking"); }));
  assert_false(seen.closed);
  t.agent.http2->send_end(1, {});
  assert_true(t.until([&] { return server->ended; }));
  assert_true(t.until_told());
  assert_true(t.told().complete);
}

void an_origin_that_answers_another_key_is_not_believed(Http2Wall& t) {
  t.speak();
  t.origin.script = [](Peer& peer) { be_a_websocket(peer, false); };
  const SeenStream& seen = t.ask(websocket, false);
  assert_true(t.until([&] { return seen.closed; }));
  assert_int_equal(seen.code, 2);
  assert_true(seen.body.empty());
  assert_true(t.told_reason("was not the one asked for"));
}

void an_origin_may_decline_a_websocket(Http2Wall& t) {
  t.speak();
  t.origin.answers = {"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"};
  const SeenStream& seen = t.ask(websocket, false);
  t.agent.http2->send_data(1, "early");
  assert_true(t.answered(seen, "403"));
  assert_string_equal(seen.body.c_str(), "no");
}

void other_extended_connects_are_refused(Http2Wall& t) {
  t.speak();
  Headers fields = websocket;
  fields[1].value = "connect-udp";
  assert_true(t.answered(t.ask(fields, false), "501"));
}

// --- attacks

void smuggling_in_lengths_and_encodings_reaches_no_origin(Http2Wall& t) {
  t.scheme = "http";
  const std::string smuggled = "GET /admin HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
  const Headers h2cl = t.request("POST", "/", {{"content-length", "0"}});
  const Headers h2te = t.request("POST", "/", {{"transfer-encoding", "chunked"}});
  const Headers both = t.request("POST", "/", {{"content-length", "1"}, {"content-length", "100"}});
  Peer& peer =
      t.attack(headers_frame(1, h2cl, false) + frame(frame_data, 1, 1, smuggled) +
               headers_frame(3, h2te, false) + frame(frame_data, 1, 3, "0\r\n\r\n" + smuggled) +
               headers_frame(5, both, false) + frame(frame_data, 1, 5, smuggled));
  assert_true(t.until([&] { return t.heard(peer, frame_rst).size() == 3; }));
  for (int i = 0; i < 10; ++i) t.loop.turn(Milliseconds(1));
  for (const std::string& request : t.origin.requests) {
    const bool reached = request.find("admin") != std::string::npos;
    assert_false(reached);
  }
  assert_true(t.until_told(3));
}

void a_length_that_is_not_kept_never_looks_whole_to_an_origin(Http2Wall& t) {
  t.scheme = "http";
  Peer* origin = nullptr;
  t.origin.script = [&origin](Peer& peer) { origin = &peer; };
  Peer& peer =
      t.attack(headers_frame(1, t.request("POST", "/", {{"content-length", "10"}}), false) +
               frame(frame_data, 0, 1, "12345"));
  assert_true(t.until([&] { return origin != nullptr && origin->has("12345"); }));
  peer.say(frame(frame_data, 1, 1, ""));
  assert_true(t.until([&] { return origin->gone(); }));
  assert_true(t.until_told());
  assert_false(t.told().complete);
}

void bytes_that_would_split_a_head_are_refused(Http2Wall& t) {
  t.scheme = "http";
  const Headers bad[] = {
      t.request("GET", "/ HTTP/1.1\r\nX: y\r\n\r\nGET /admin"),
      t.request("GET /admin HTTP/1.1\r\n\r\nGET", "/"),
      t.request("GET", "/", {{"x", "1\r\ny: 2"}}),
      t.request("GET", "/", {{"x\r\ny", "1"}}),
      t.request("GET", "/", {{"x: y", "1"}}),
      t.request("GET", "/", {{"x", std::string("a\0b", 3)}}),
      t.request("GET", "/", {{"X-Upper", "1"}}),
      t.request("GET", "/", {{":path", "/admin"}}),
      t.request("GET", "/a b"),
      t.request("GET", "admin"),
      t.request("GET", "/", {{"connection", "content-length"}}),
      t.request("GET", "/", {{"te", "chunked"}}),
  };
  std::string bytes;
  uint32_t id = 1;
  for (const Headers& fields : bad) {
    bytes += headers_frame(id, fields, true);
    id += 2;
  }
  t.attack(bytes);
  const size_t count = std::size(bad);
  assert_true(t.until_told(count));
  for (int i = 0; i < 10; ++i) t.loop.turn(Milliseconds(1));
  assert_int_equal(t.recorder.exchanges.size(), count);
  assert_int_equal(t.origin.accepted, 0);
  for (const Exchange& one : t.recorder.exchanges) assert_false(one.reason.empty());
}

void a_head_over_the_limits_gets_431(Http2Wall& t) {
  t.speak();
  assert_true(t.answered(t.ask(t.request("GET", "/", {{"x", std::string(70'000, 'x')}})), "431"));
  const std::string long_path = "/" + std::string(20'000, 'x');
  assert_true(t.answered(t.get(long_path.c_str()), "414"));
  Headers many;
  for (int i = 0; i < 250; ++i) many.push_back({"x", "y"});
  assert_true(t.answered(t.ask(t.request("GET", "/", many)), "431"));
  assert_int_equal(t.origin.accepted, 0);
  assert_true(t.answered(t.get(), "200"));
}

void trailers_that_frame_or_prove_end_the_exchange(Http2Wall& t) {
  t.speak();
  const SeenStream& seen = t.ask(t.request("POST", "/"), false);
  t.agent.http2->send_data(1, "x");
  t.agent.http2->send_end(1, {{"authorization", "Bearer late"}});
  assert_true(t.until([&] { return seen.closed; }));
  assert_false(seen.ended);
  assert_true(t.told_reason("trailer"));
}

void rapid_resets_cost_little_and_end_the_connection(Http2Wall& t) {
  t.scheme = "http";
  std::string bytes;
  for (uint32_t id = 1; id < 1000; id += 2)
    bytes += headers_frame(id, t.request("GET", "/"), true) + frame(frame_rst, 0, id, number32(8));
  Peer& peer = t.attack(bytes);
  assert_true(t.until([&] { return !t.heard(peer, frame_goaway).empty(); }));
  const Frame goaway = t.heard(peer, frame_goaway)[0];
  assert_int_equal(code_of(goaway), 11);
  assert_true(t.told_reason("too many streams were reset"));
  const bool few = t.origin.accepted <= 101;
  assert_true(few);
}

void floods_are_on_record(Http2Wall& t) {
  t.scheme = "http";
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes += frame(frame_ping, 0, 0, "12345678");
  Peer& peer = t.attack(bytes);
  assert_true(t.until([&] { return peer.gone(); }));
  assert_true(t.told_reason("too many frames that do nothing"));
  assert_true(t.until([&] { return t.over == 1; }));
}

// --- times

void an_idle_connection_is_told_goodbye(Http2Wall& t) {
  t.settings.limits.keep_alive = Milliseconds(30);
  t.speak();
  assert_true(t.answered(t.get(), "200"));
  assert_true(t.until([&] { return t.agent.goaway; }));
  assert_int_equal(t.agent.goaway_code, 0);
  assert_int_equal(t.agent.goaway_last, 1);
  assert_true(t.until([&] { return t.over == 1; }));
}

void an_exchange_without_a_byte_gets_504_and_others_go_on(Http2Wall& t) {
  t.settings.limits.idle = Milliseconds(200);
  t.speak();
  int asked = 0;
  t.origin.script = [&asked](Peer& peer) {
    if (peer.has("/stuck")) return;
    if (!peer.has("\r\n\r\n")) return;
    peer.received.clear();
    asked++;
    peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  };
  const SeenStream& stuck = t.get("/stuck");
  assert_true(t.until([&] {
    if (t.agent.http2->streams() < 2 && !stuck.ended) t.get("/busy");
    return stuck.ended;
  }));
  assert_string_equal(stuck.value(":status").c_str(), "504");
  const bool others = asked > 1;
  assert_true(others);
}

void a_head_that_does_not_end_breaks_the_connection_off(Http2Wall& t) {
  t.settings.limits.head = Milliseconds(50);
  Peer& peer = t.attack(frame(frame_headers, 0, 1, ""));
  assert_true(t.until([&] { return !t.heard(peer, frame_goaway).empty(); }));
  assert_int_equal(code_of(t.heard(peer, frame_goaway)[0]), 11);
  assert_true(t.told_reason("took too long"));
}

void a_wall_that_ends_says_goodbye(Http2Wall& t) {
  t.speak();
  t.origin.script = [](Peer&) {};
  const SeenStream& seen = t.get();
  assert_true(t.until([&] { return t.origin.accepted == 1; }));
  t.sessions.clear();
  assert_int_equal(t.recorder.exchanges.size(), 1);
  assert_true(t.until([&] { return t.agent.over == 1; }));
  assert_true(t.agent.goaway);
  assert_true(seen.closed);
}

// Everything a connection says, cut in two at every place.
void bytes_may_come_in_any_pieces(Http2Wall& t) {
  t.scheme = "http";
  const std::string text =
      preface() + headers_frame(1, t.request("POST", "/"), false) + frame(frame_data, 1, 1, "body");
  t.origin.script = [](Peer& peer) {
    if (!peer.has("0\r\n\r\n")) return;
    peer.received.clear();
    peer.transport.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  for (size_t cut = 1; cut < text.size(); ++cut) {
    t.frames.clear();
    Peer& peer = t.connect("api.example.com", 80);
    peer.say(text.substr(0, cut));
    for (int i = 0; i < 2; ++i) t.loop.turn(Milliseconds(0));
    peer.say(text.substr(cut));
    const bool came = t.until([&] {
      const auto data = t.heard(peer, frame_data);
      return !data.empty() && data.back().flags == 1;
    });
    assert_true(came);
    peer.transport.close();
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Http2Wall, a_request_becomes_one_of_http1),
      MOAT_TEST(Http2Wall, http2_is_agreed_on_within_tls),
      MOAT_TEST(Http2Wall, http2_known_before_is_served_within_tls),
      MOAT_TEST(Http2Wall, our_preface_does_not_wait_for_the_agents),
      MOAT_TEST(Http2Wall, many_exchanges_go_side_by_side),
      MOAT_TEST(Http2Wall, a_body_and_its_trailers_go_both_ways),
      MOAT_TEST(Http2Wall, a_placeholder_in_a_trailer_ends_the_exchange),
      MOAT_TEST(Http2Wall, a_credential_is_put_into_a_body),
      MOAT_TEST(Http2Wall, a_body_of_known_length_stays_one),
      MOAT_TEST(Http2Wall, early_hints_and_100_continue_pass),
      MOAT_TEST(Http2Wall, head_and_empty_answers_end_with_their_head),
      MOAT_TEST(Http2Wall, a_body_until_close_has_an_end),
      MOAT_TEST(Http2Wall, an_answer_that_breaks_off_is_reset),
      MOAT_TEST(Http2Wall, a_refusal_is_an_answer_and_others_go_on),
      MOAT_TEST(Http2Wall, each_authority_has_to_agree),
      MOAT_TEST(Http2Wall, a_host_that_is_not_the_authority_is_refused),
      MOAT_TEST(Http2Wall, a_server_name_for_another_host_is_told_on_each_stream),
      MOAT_TEST(Http2Wall, a_credential_is_put_on_and_kept_out_of_the_answer),
      MOAT_TEST(Http2Wall, an_upload_waits_for_a_slow_origin),
      MOAT_TEST(Http2Wall, a_download_waits_for_a_slow_agent),
      MOAT_TEST(Http2Wall, an_agent_that_resets_a_stream_lets_go_of_its_origin),
      MOAT_TEST(Http2Wall, an_agent_that_goes_away_ends_all_its_exchanges),
      MOAT_TEST(Http2Wall, an_answer_before_the_end_of_the_request_is_whole),
      MOAT_TEST(Http2Wall, a_plain_connect_is_refused_with_a_reason),
      MOAT_TEST(Http2Wall, a_websocket_may_be_silent),
      MOAT_TEST(Http2Wall, a_websocket_becomes_an_upgrade),
      MOAT_TEST(Http2Wall, an_origin_may_end_its_half_of_a_websocket_first),
      MOAT_TEST(Http2Wall, an_origin_that_answers_another_key_is_not_believed),
      MOAT_TEST(Http2Wall, an_origin_may_decline_a_websocket),
      MOAT_TEST(Http2Wall, other_extended_connects_are_refused),
      MOAT_TEST(Http2Wall, smuggling_in_lengths_and_encodings_reaches_no_origin),
      MOAT_TEST(Http2Wall, a_length_that_is_not_kept_never_looks_whole_to_an_origin),
      MOAT_TEST(Http2Wall, bytes_that_would_split_a_head_are_refused),
      MOAT_TEST(Http2Wall, a_head_over_the_limits_gets_431),
      MOAT_TEST(Http2Wall, trailers_that_frame_or_prove_end_the_exchange),
      MOAT_TEST(Http2Wall, rapid_resets_cost_little_and_end_the_connection),
      MOAT_TEST(Http2Wall, floods_are_on_record),
      MOAT_TEST(Http2Wall, an_idle_connection_is_told_goodbye),
      MOAT_TEST(Http2Wall, an_exchange_without_a_byte_gets_504_and_others_go_on),
      MOAT_TEST(Http2Wall, a_head_that_does_not_end_breaks_the_connection_off),
      MOAT_TEST(Http2Wall, a_wall_that_ends_says_goodbye),
      MOAT_TEST(Http2Wall, bytes_may_come_in_any_pieces),
  };
  return cmocka_run_group_tests_name("proxy/http2_agent", tests, nullptr, nullptr);
}
