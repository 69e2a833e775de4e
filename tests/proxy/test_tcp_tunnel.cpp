#include "proxy/tcp_tunnel.h"

#include <algorithm>

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;

namespace {

// Whoever owns the agent's side, with nothing to decide.
struct TunnelTest : Wall, TcpTunnel::Owner, Transport::Handler {
  TunnelTest() : pair(test::need(make_socket_pair(SOCK_STREAM))) {
    transport = std::make_unique<Transport>(loop, std::move(pair.first),
                                            static_cast<Transport::Handler&>(*this),
                                            Stream::Limits{64 * 1024, 256 * 1024});
    program = std::make_unique<Peer>(loop, std::move(pair.second));
    origin.script = [](Peer&) {};
  }
  void open(const char* scheme = "tcp", std::vector<std::string> alpn = {}) {
    Exchange record;
    record.scheme = "tcp";
    record.host = "db.example.com";
    OriginTarget target;
    target.scheme = scheme;
    target.host = "db.example.com";
    target.port = 5432;
    tunnel =
        std::make_unique<TcpTunnel>(the_world(), *transport, static_cast<TcpTunnel::Owner&>(*this),
                                    record, target, std::move(alpn));
  }
  Peer& opened() {
    if (!until([&] { return opens == 1 && !origin.peers.empty(); }))
      throw std::runtime_error("the origin was not reached");
    return *origin.peers.back();
  }

  void limit(Milliseconds time) override { last_limit = time; }
  Result<void> on_origin_open() override {
    opens++;
    if (refuses) return error(Errc::tls, "the owner has no use for it");
    return {};
  }
  void on_origin_spoke() override { spoke++; }
  void over() override { ends++; }
  void on_input(Transport&) override { tunnel->on_agent_input(); }
  void on_end(Transport&, bool clean) override { tunnel->on_agent_end(clean); }
  void on_drained(Transport&) override { tunnel->on_agent_drained(); }
  void on_error(Transport&, const Error& why) override { tunnel->on_agent_error(why); }

  FdPair pair;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Peer> program;
  std::unique_ptr<TcpTunnel> tunnel;
  Milliseconds last_limit{0};
  bool refuses = false;
  int opens = 0;
  int spoke = 0;
  int ends = 0;
};

void nothing_is_carried_before_it_is_asked_for(TunnelTest& t) {
  t.open();
  t.program->say("early");
  Peer& origin = t.opened();
  origin.say("first");
  assert_true(t.until([&] { return t.spoke == 1; }));
  assert_int_equal(origin.total, 0);
  assert_int_equal(t.program->total, 0);
  t.tunnel->carry();
  assert_true(t.until([&] { return origin.has("early") && t.program->has("first"); }));
  assert_true(t.last_limit == t.settings.limits.tunnel_idle);
}

void each_direction_ends_by_itself(TunnelTest& t) {
  t.open();
  t.tunnel->carry();
  Peer& origin = t.opened();
  t.program->say("question");
  t.program->transport.end_writing();
  assert_true(t.until([&] { return origin.ended && origin.has("question"); }));
  assert_int_equal(t.ends, 0);
  origin.say("a late answer");
  assert_true(t.until([&] { return t.program->has("a late answer"); }));
  assert_int_equal(t.ends, 0);
  origin.transport.end_writing();
  assert_true(t.until([&] { return t.ends == 1 && t.program->ended; }));
  assert_int_equal(t.recorder.exchanges.size(), 1);
  assert_true(t.told().complete);
  assert_int_equal(t.told().request_bytes, 8);
  assert_int_equal(t.told().response_bytes, 13);
}

void an_origin_that_ends_first_is_heard_to_the_end(TunnelTest& t) {
  t.open();
  Peer& origin = t.opened();
  origin.say("all there is");
  origin.transport.end_writing();
  assert_true(t.until([&] { return t.spoke == 2; }));
  t.tunnel->carry();
  assert_true(t.until([&] { return t.program->ended && t.program->has("all there is"); }));
  t.program->say("thanks");
  assert_true(t.until([&] { return origin.has("thanks"); }));
}

void what_tls_does_not_end_properly_is_not_made_to_look_whole(TunnelTest& t) {
  t.origin_speaks_tls("db.example.com");
  t.origin.alpn = {};
  t.transport->start_tls(test::need(TlsSession::server(t.the_world().tls, "db.example.com", {})));
  t.agent_tls(*t.program, "db.example.com");
  t.open("https");
  Peer& origin = t.opened();
  assert_true(t.until([&] { return t.program->ready; }));
  t.tunnel->carry();
  origin.say("half of i");
  assert_true(t.until([&] { return t.program->has("half of i"); }));
  origin.transport.cut_writing();
  assert_true(t.until([&] { return t.program->ended; }));
  assert_false(t.program->clean);
  t.program->transport.end_writing();
  assert_true(t.until([&] { return t.ends == 1; }));
  assert_false(t.told().complete);
}

void a_failed_connection_is_told_and_ends_the_other(TunnelTest& t) {
  t.open();
  t.tunnel->carry();
  Peer& origin = t.opened();
  t.program->say("hello");
  assert_true(t.until([&] { return origin.has("hello"); }));
  origin.transport.reset();
  assert_true(t.until([&] { return t.ends == 1 && t.program->gone(); }));
  assert_false(t.told().complete);
  assert_false(t.told().refused);
  assert_true(t.told().reason.starts_with("db.example.com: "));
}

void a_program_that_fails_ends_it_at_the_origin(TunnelTest& t) {
  t.open();
  t.tunnel->carry();
  Peer& origin = t.opened();
  t.tunnel->on_agent_error(Error{Errc::closed, "reset"});
  assert_true(t.until([&] { return origin.failed; }));
  assert_int_equal(t.ends, 1);
  assert_true(t.told().reason.find("program") != std::string::npos);
}

void what_was_not_needed_is_not_told(TunnelTest& t) {
  t.open();
  t.opened();
  t.tunnel->drop();
  t.tunnel.reset();
  t.open();
  t.tunnel->drop();
  t.tunnel.reset();
  assert_int_equal(t.recorder.exchanges.size(), 0);
}

void what_is_cut_off_by_moat_is_told(TunnelTest& t) {
  t.open();
  t.tunnel->carry();
  t.program->say("hello");
  Peer& origin = t.opened();
  assert_true(t.until([&] { return origin.has("hello"); }));
  t.tunnel.reset();
  assert_int_equal(t.recorder.exchanges.size(), 1);
  assert_string_equal(t.told().reason.c_str(), "moat ended the connection");
  assert_int_equal(t.told().request_bytes, 5);
  t.open();
  t.tunnel.reset();
  assert_int_equal(t.recorder.exchanges.size(), 2);
}

void an_owner_that_cannot_use_the_origin_ends_it(TunnelTest& t) {
  t.refuses = true;
  t.open();
  assert_true(t.until([&] { return t.ends == 1; }));
  assert_string_equal(t.told().reason.c_str(), "the owner has no use for it");
}

void one_that_stands_still_is_ended(TunnelTest& t) {
  t.open();
  t.tunnel->carry();
  t.opened();
  t.tunnel->on_limit();
  assert_int_equal(t.ends, 1);
  assert_true(t.told().reason.find("too long") != std::string::npos);
  t.tunnel->on_limit();
  assert_int_equal(t.ends, 1);
}

// The last bytes wait in our buffers when both directions have ended already.
void what_is_queued_leaves_before_the_end(TunnelTest& t) {
  t.open();
  t.tunnel->carry();
  Peer& origin = t.opened();
  t.program->transport.pause_reading();
  const std::string much(512 * 1024, 'x');
  origin.say(much);
  origin.transport.end_writing();
  t.program->transport.end_writing();
  assert_true(t.until([&] { return origin.ended; }));
  for (int i = 0; i < 50; i++) t.loop.turn(Milliseconds(0));
  assert_int_equal(t.ends, 0);
  t.program->transport.resume_reading();
  assert_true(t.until([&] {
    if (t.last_limit == Milliseconds(1000)) t.tunnel->on_limit();
    return t.ends == 1;
  }));
  assert_true(t.until([&] { return t.program->ended; }));
  assert_int_equal(t.program->total, much.size());
  assert_true(t.told().complete);
}

void only_registered_protocols_are_asked_for(test::Nothing&) {
  assert_string_equal(passable_protocol({}).c_str(), "");
  assert_string_equal(passable_protocol({"x-mine", "postgresql", "imap"}).c_str(), "postgresql");
  assert_string_equal(passable_protocol({"x-mine", "h2", "acme-tls/1"}).c_str(), "");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(TunnelTest, nothing_is_carried_before_it_is_asked_for),
      MOAT_TEST(TunnelTest, each_direction_ends_by_itself),
      MOAT_TEST(TunnelTest, an_origin_that_ends_first_is_heard_to_the_end),
      MOAT_TEST(TunnelTest, what_tls_does_not_end_properly_is_not_made_to_look_whole),
      MOAT_TEST(TunnelTest, a_failed_connection_is_told_and_ends_the_other),
      MOAT_TEST(TunnelTest, a_program_that_fails_ends_it_at_the_origin),
      MOAT_TEST(TunnelTest, what_was_not_needed_is_not_told),
      MOAT_TEST(TunnelTest, what_is_cut_off_by_moat_is_told),
      MOAT_TEST(TunnelTest, an_owner_that_cannot_use_the_origin_ends_it),
      MOAT_TEST(TunnelTest, one_that_stands_still_is_ended),
      MOAT_TEST(TunnelTest, what_is_queued_leaves_before_the_end),
      MOAT_TEST(test::Nothing, only_registered_protocols_are_asked_for),
  };
  return cmocka_run_group_tests_name("proxy/tcp_tunnel", tests, nullptr, nullptr);
}
