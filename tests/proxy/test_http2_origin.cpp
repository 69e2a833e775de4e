#include "proxy/http2_origin.h"

#include <algorithm>

#include "core/crypto.h"

#include "http2_server.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Http2Peer;
using moat::test::Http2Request;
using moat::test::Http2Wall;
using moat::test::Peer;

namespace {

constexpr uint32_t no_error = 0;
constexpr uint32_t internal_error = 2;
constexpr uint32_t cancel = 8;

void a_request_and_its_answer_change_their_words_only(Http2Wall& t) {
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) {
    peer.answer(r.stream,
                {{":status", "200"},
                 {"set-cookie", "a=1"},
                 {"set-cookie", "b=2"},
                 {"x-empty", ""},
                 {"content-length", "5"}},
                "hello");
  };
  Peer& agent = t.ask(
      "GET /x?y=1 HTTP/1.1\r\nX-Mixed-Case: One\r\nx-mixed-case: Two\r\nCookie: a=1; b=2\r\n"
      "TE: trailers, deflate\r\nConnection: keep-alive, X-Own\r\nX-Own: mine\r\n");
  assert_true(t.until_has(agent, "\r\n\r\nhello"));
  assert_true(agent.has("HTTP/1.1 200"));
  assert_true(agent.has("set-cookie: a=1\r\nset-cookie: b=2\r\nx-empty: \r\n"));
  assert_true(agent.has("content-length: 5\r\n"));
  assert_false(agent.has("chunked"));
  const Http2Request& request = t.server.request(0);
  assert_string_equal(request.field(":method").c_str(), "GET");
  assert_string_equal(request.field(":scheme").c_str(), "https");
  assert_string_equal(request.field(":authority").c_str(), "api.example.com");
  assert_string_equal(request.field(":path").c_str(), "/x?y=1");
  assert_int_equal(count(request.fields, "x-mixed-case"), 2);
  assert_string_equal(request.field("te").c_str(), "trailers");
  assert_string_equal(request.field("cookie").c_str(), "a=1; b=2");
  for (const char* name : {"host", "connection", "x-own", "keep-alive", "upgrade"}) {
    assert_string_equal(request.field(name).c_str(), "(none)");
  }
  for (const Header& field : request.fields) {
    for (const char c : field.name) assert_false(c >= 'A' && c <= 'Z');
  }
  assert_true(t.until_told());
  assert_string_equal(t.told().origin_version.c_str(), "HTTP/2");
  assert_true(t.told().complete);
  assert_true(t.told().tls_ns > 0);
}

void an_answer_without_a_body_says_so(Http2Wall& t) {
  std::string status = "200";
  t.server.on_end = [&status](Http2Peer& peer, Http2Request& r) {
    peer.answer(r.stream, {{":status", status}}, "");
  };
  Peer& agent = t.get();
  assert_true(t.until_has(agent, "Content-Length: 0\r\n\r\n"));
  for (const char* other : {"204", "304"}) {
    status = other;
    t.ask("GET / HTTP/1.1\r\n", "", &agent);
    assert_true(t.until_has(agent, "\r\n\r\n"));
    assert_false(agent.has("ontent-"));
  }
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) {
    peer.answer(r.stream, {{":status", "200"}, {"content-length", "1000"}}, "");
  };
  t.ask("HEAD / HTTP/1.1\r\n", "", &agent);
  assert_true(t.until_has(agent, "content-length: 1000\r\n\r\n"));
  assert_true(t.until_told(4));
  for (const Exchange& told : t.recorder.exchanges) assert_true(told.complete);
  assert_int_equal(t.server.accepted(), 1);
}

void bodies_and_trailers_go_both_ways(Http2Wall& t) {
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) {
    peer.http2->send_fields(r.stream, {{":status", "103"}, {"link", "</a>"}}, false);
    peer.http2->send_fields(r.stream, {{":status", "200"}, {"trailer", "x-sum"}}, false);
    peer.http2->send_data(r.stream, "<" + r.body + ">");
    peer.http2->send_end(r.stream, {{"x-sum", "7"}});
  };
  Peer& agent = t.ask("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
                      "3\r\nabc\r\n2\r\nde\r\n0\r\nX-Check: 9\r\n\r\n");
  assert_true(t.until_has(agent, "0\r\nx-sum: 7\r\n\r\n"));
  assert_true(agent.has("HTTP/1.1 103"));
  assert_true(agent.has("link: </a>\r\n"));
  assert_true(agent.has("7\r\n<abcde>\r\n"));
  const Http2Request& request = t.server.request(0);
  assert_string_equal(request.body.c_str(), "abcde");
  assert_int_equal(request.trailers.size(), 1);
  assert_string_equal(request.trailers[0].name.c_str(), "x-check");
  assert_string_equal(request.field("content-length").c_str(), "(none)");
  assert_true(t.until_told());
  assert_true(t.told().complete);
}

void a_stream_that_is_reset_is_a_cut_or_a_502_that_says_why(Http2Wall& t) {
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) {
    peer.http2->reset(r.stream, internal_error);
  };
  Peer& refused = t.ask("POST / HTTP/1.1\r\nContent-Length: 1\r\n", "x");
  assert_true(t.until_has(refused, "502 Bad Gateway"));
  assert_true(refused.has("INTERNAL_ERROR"));
  assert_int_equal(t.server.order.size(), 1);
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) {
    peer.http2->send_fields(r.stream, {{":status", "200"}, {"content-length", "10"}}, false);
    peer.http2->send_data(r.stream, "half");
    peer.http2->cut(r.stream);
  };
  Peer& cut = t.get();
  assert_true(t.until_has(cut, "\r\n\r\nhalf"));
  assert_true(t.until([&] { return cut.gone(); }));
  assert_false(cut.clean);
  assert_true(t.until_told(2));
  assert_false(t.told().complete);
  // The others on the connection are not concerned.
  assert_int_equal(t.server.accepted(), 1);
}

void an_answer_of_another_length_than_it_says_is_cut(Http2Wall& t) {
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) {
    peer.answer(r.stream, {{":status", "200"}, {"content-length", "10"}}, "short");
  };
  Peer& agent = t.get();
  assert_true(t.until([&] { return agent.gone(); }));
  assert_true(t.until_told());
  assert_false(t.told().complete);
}

void an_end_without_end_stream_is_a_cut(Http2Wall& t) {
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) {
    peer.http2->send_fields(r.stream, {{":status", "200"}}, false);
    peer.http2->send_data(r.stream, "part of it");
    peer.server.loop.defer([&peer] {
      peer.server.loop.defer([&peer] {
        peer.transport.end_writing();  // in good order, for TLS
      });
    });
  };
  Peer& agent = t.get();
  assert_true(t.until_has(agent, "part of it"));
  assert_true(t.until([&] { return agent.gone(); }));
  assert_false(agent.has("\r\n0\r\n"));
  assert_true(t.until_told());
  assert_false(t.told().complete);
  assert_true(t.until([&] { return t.upstream->shared() == 0; }));
}

// Its last frame may come when the program has all that it waits for, and has gone.
void who_has_all_need_not_wait_for_the_end(Http2Wall& t) {
  t.warm();
  for (const bool whole : {true, false}) {
    t.server.on_end = [whole](Http2Peer& peer, Http2Request& r) {
      peer.http2->send_fields(r.stream, {{":status", "200"}, {"content-length", "3"}}, false);
      peer.http2->send_data(r.stream, whole ? "all" : "al");
    };
    Peer& agent = t.get();
    assert_true(t.until_has(agent, whole ? "\r\n\r\nall" : "\r\n\r\nal"));
    const size_t told = t.recorder.exchanges.size();
    agent.transport.close();
    assert_true(t.until_told(told + 1));
    assert_int_equal(t.told().complete, whole);
    assert_int_equal(t.told().reason.empty(), whole);
  }
}

void an_answer_may_come_before_the_request_has_ended(Http2Wall& t) {
  t.server.on_end = nullptr;
  t.server.consumes = false;
  t.server.on_head = [](Http2Peer& peer, Http2Request& r) {
    peer.http2->send_fields(r.stream, {{":status", "413"}, {"content-length", "3"}}, false);
    peer.http2->send_data(r.stream, "big");
    peer.http2->send_end(r.stream, {});
    peer.server.loop.defer([&peer, stream = r.stream] {
      peer.server.loop.defer([&peer, stream] { peer.http2->reset(stream, no_error); });
    });
  };
  Peer& agent = t.ask("POST / HTTP/1.1\r\nContent-Length: 10000000\r\n", std::string(900'000, 'x'));
  assert_true(t.until_has(agent, "\r\n\r\nbig"));
  assert_true(agent.has("HTTP/1.1 413"));
  assert_true(t.until_told());
  assert_int_equal(t.told().status, 413);
  assert_true(t.until([&] { return t.server.request(0).closed; }));
}

void who_goes_away_cancels_no_more_than_its_own(Http2Wall& t) {
  t.warm();
  t.server.on_end = nullptr;
  Peer& leaver = t.get("/long");
  Peer& stayer = t.get("/other");
  assert_true(t.until([&] { return t.server.order.size() == 2; }));
  leaver.transport.close();
  assert_true(t.until([&] { return t.server.request(0).closed || t.server.request(1).closed; }));
  const size_t left = t.server.request(0).closed ? 0 : 1;
  assert_int_equal(t.server.request(left).code, cancel);
  Http2Request& other = t.server.request(1 - left);
  t.server.last().answer(other.stream, {{":status", "200"}}, "still here");
  assert_true(t.until_has(stayer, "still here"));
}

void a_slow_reader_holds_up_no_other(Http2Wall& t) {
  t.warm();
  const std::string big(3'000'000, 'b');
  t.server.on_end = [&big](Http2Peer& peer, Http2Request& r) {
    const bool is_big = r.field(":path") == "/big";
    peer.answer(r.stream, {{":status", "200"}}, is_big ? std::string_view(big) : "small");
  };
  std::vector<Peer*> slow;
  for (int i = 0; i < 6; i++) slow.push_back(&t.get("/big"));
  bool reading = false;
  for (Peer* peer : slow) {
    peer->changed = [&reading](Peer& reader) {
      if (!reading) reader.transport.pause_reading();
    };
  }
  assert_true(t.until([&] {
    return std::all_of(slow.begin(), slow.end(), [](const Peer* peer) { return peer->total > 0; });
  }));
  Peer& quick = t.get("/small");
  assert_true(t.until_has(quick, "small"));
  assert_int_equal(t.server.accepted(), 1);
  reading = true;
  for (Peer* peer : slow) {
    assert_true(peer->total < big.size());
    peer->transport.resume_reading();
    assert_true(t.until([&] { return peer->received.size() > big.size(); }));
  }
}

void an_upload_goes_as_fast_as_the_origin_takes_it(Http2Wall& t) {
  t.server.consumes = false;
  const size_t size = 4'000'000;
  Peer& agent = t.ask("POST / HTTP/1.1\r\nContent-Length: " + std::to_string(size) + "\r\n",
                      std::string(size, 'u'));
  assert_true(t.until([&] { return !t.server.order.empty(); }));
  const size_t window = t.server.limits.stream_window;
  assert_true(t.until([&] { return t.server.request(0).body.size() == window; }));
  for (int i = 0; i < 20; i++) t.loop.turn(Milliseconds(1));
  assert_int_equal(t.server.request(0).body.size(), window);
  assert_false(agent.transport.flushed());
  t.server.consumes = true;
  t.server.last().http2->consumed(t.server.request(0).stream, window);
  assert_true(t.until_has(agent, "\r\n\r\nok"));
  assert_int_equal(t.server.request(0).body.size(), size);
}

void a_head_over_the_limits_is_a_502(Http2Wall& t) {
  t.settings.limits.http1.head_bytes = 4096;
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) {
    Headers fields{{":status", "200"}};
    for (int i = 0; i < 10; i++) fields.push_back({"x-long", std::string(1000, 'l')});
    peer.answer(r.stream, fields, "");
  };
  Peer& agent = t.get();
  assert_true(t.until_has(agent, "502 Bad Gateway"));
  assert_true(agent.has("over the limits"));
}

void a_credential_goes_out_and_does_not_come_back(Http2Wall& t) {
  t.inject("api.example.com", "real-secret-0123456789");
  t.server.on_end = [](Http2Peer& peer, Http2Request& r) {
    peer.http2->send_fields(r.stream, {{":status", "200"}, {"x-echo", r.field("authorization")}},
                            false);
    peer.http2->send_data(r.stream, "<real-secret-");
    peer.http2->send_data(r.stream, "0123456789>");
    peer.http2->send_end(r.stream, {{"x-trail", "real-secret-0123456789"}});
  };
  Peer& agent = t.ask("GET / HTTP/1.1\r\nAuthorization: Bearer foreign\r\n");
  assert_true(t.until_has(agent, "x-trail: "));
  assert_string_equal(t.server.request(0).field("authorization").c_str(),
                      "Bearer real-secret-0123456789");
  assert_false(agent.has("real-secret"));
  assert_true(agent.has("<**********************>"));
}

void a_web_socket_is_an_extended_connect(Http2Wall& t) {
  t.server.on_end = nullptr;
  t.server.on_head = [](Http2Peer& peer, Http2Request& r) {
    peer.http2->send_fields(r.stream, {{":status", "200"}}, false);
    peer.http2->send_data(r.stream, "hello");
  };
  Peer& first = t.get();
  assert_true(t.until_has(first, "hello"));
  Peer& agent = t.ask(
      "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n");
  assert_true(t.until_has(agent, "hello"));
  assert_true(agent.has("HTTP/1.1 101 Switching Protocols\r\n"));
  assert_true(agent.has("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  Http2Request& request = t.server.request(1);
  assert_string_equal(request.field(":method").c_str(), "CONNECT");
  assert_string_equal(request.field(":protocol").c_str(), "websocket");
  assert_string_equal(request.field(":path").c_str(), "/chat");
  assert_string_equal(request.field("sec-websocket-key").c_str(), "(none)");
  assert_int_equal(t.server.accepted(), 1);
  agent.say("ping");
  assert_true(t.until([&] { return request.body == "ping"; }));
  t.server.last().http2->send_data(request.stream, "pong");
  assert_true(t.until_has(agent, "pong"));
  t.server.last().http2->send_end(request.stream, {});
  assert_true(t.until([&] { return agent.ended; }));
  agent.say("late");
  assert_true(t.until([&] { return request.body == "pinglate"; }));
  agent.transport.end_writing();
  assert_true(t.until([&] { return request.ended; }));
  assert_true(t.until_told());
  assert_int_equal(t.told().status, 101);
  assert_true(t.told().complete);
}

void a_web_socket_that_is_refused_is_an_ordinary_answer(Http2Wall& t) {
  t.warm();
  t.server.on_end = nullptr;
  t.server.on_head = [](Http2Peer& peer, Http2Request& r) {
    peer.answer(r.stream, {{":status", "403"}, {"content-length", "2"}}, "no");
  };
  Peer& agent = t.ask(
      "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n");
  assert_true(t.until_has(agent, "\r\n\r\nno"));
  assert_true(agent.has("HTTP/1.1 403"));
  assert_true(t.until([&] { return t.server.request(0).closed; }));
}

void a_web_socket_without_a_connection_for_it_speaks_http1(Http2Wall& t) {
  t.server.on_http1 = [](Http2Peer& peer) {
    peer.received.clear();
    peer.transport.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi");
  };
  Peer& agent = t.ask(
      "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n");
  assert_true(t.until_has(agent, "\r\n\r\nhi"));
  assert_string_equal(t.server.last().transport.tls()->alpn().c_str(), "http/1.1");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Http2Wall, a_request_and_its_answer_change_their_words_only),
      MOAT_TEST(Http2Wall, an_answer_without_a_body_says_so),
      MOAT_TEST(Http2Wall, bodies_and_trailers_go_both_ways),
      MOAT_TEST(Http2Wall, a_stream_that_is_reset_is_a_cut_or_a_502_that_says_why),
      MOAT_TEST(Http2Wall, an_answer_of_another_length_than_it_says_is_cut),
      MOAT_TEST(Http2Wall, an_end_without_end_stream_is_a_cut),
      MOAT_TEST(Http2Wall, who_has_all_need_not_wait_for_the_end),
      MOAT_TEST(Http2Wall, an_answer_may_come_before_the_request_has_ended),
      MOAT_TEST(Http2Wall, who_goes_away_cancels_no_more_than_its_own),
      MOAT_TEST(Http2Wall, a_slow_reader_holds_up_no_other),
      MOAT_TEST(Http2Wall, an_upload_goes_as_fast_as_the_origin_takes_it),
      MOAT_TEST(Http2Wall, a_head_over_the_limits_is_a_502),
      MOAT_TEST(Http2Wall, a_credential_goes_out_and_does_not_come_back),
      MOAT_TEST(Http2Wall, a_web_socket_is_an_extended_connect),
      MOAT_TEST(Http2Wall, a_web_socket_that_is_refused_is_an_ordinary_answer),
      MOAT_TEST(Http2Wall, a_web_socket_without_a_connection_for_it_speaks_http1),
  };
  return cmocka_run_group_tests_name("proxy/http2_origin", tests, nullptr, nullptr);
}
