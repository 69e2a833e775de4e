// TlsSession against other libraries: the programs of OpenSSL, GnuTLS and NSS as agent and origin.
#include <algorithm>
#include <csignal>
#include <optional>
#include <string>

#include "moat_test.h"
#include "peer_programs.h"
#include "proxy/transport.h"

using namespace moat;
using namespace moat::proxy;

namespace {

// One end of ours, and what it was told.
struct End : Transport::Handler {
  std::unique_ptr<Transport> transport;
  Transport* other = nullptr;  // to whom all that comes is passed on, once it is ready
  std::string got;
  std::string error;
  bool ready = false;
  bool ended = false;
  bool clean = false;

  void begin(Loop& loop, Fd fd, std::unique_ptr<TlsSession> session) {
    got = error = "";
    ready = ended = clean = false;
    transport = std::make_unique<Transport>(loop, std::move(fd), *this, Stream::Limits{});
    transport->start_tls(std::move(session));
  }
  void on_ready(Transport&) override { ready = true; }
  void on_input(Transport& from) override {
    got += from.input();
    if (other != nullptr) other->write(from.input());
    from.consume(from.input().size());
  }
  void on_end(Transport&, bool in_order) override {
    ended = true;
    clean = in_order;
  }
  void on_drained(Transport&) override {}
  void on_error(Transport&, const Error& why) override { error = why.message; }
  [[nodiscard]] bool settled() const { return ready || !error.empty(); }
  [[nodiscard]] bool has(const char* words) const { return got.find(words) != std::string::npos; }
};

struct PeersTest : TlsWorld {
  Loop loop;
  uint16_t port = 0;
  Fd listener = listen_anywhere(port);
  End agent;   // towards one
  End origin;  // towards one
  std::optional<Program> agent_program;
  std::optional<Program> origin_program;
  std::string text;
  std::unique_ptr<TrustStore> roots;
  std::unique_ptr<TlsContext> context;  // that trusts root.pem

  template <class Done>
  bool until(Done done) {
    return moat::test::turn_until(loop, done, std::chrono::seconds(10));
  }
  bool must_run(const std::string& command) {
    text = directory.run(command);
    const bool fine = text.find("exit 0") != std::string::npos;
    if (!fine) print_error("%s\n", text.c_str());
    return fine;
  }
  bool run_agent(const std::string& command, const std::vector<std::string>& alpn = {}) {
    // NSS's stays for as long as its input does.
    const bool ends = command.find("tstclnt") == 0;
    directory.write("line", "question\n");
    agent_program.emplace(directory.file(""),
                          command + (ends ? " <line" : "") + " >out.txt 2>err.txt", "question");
    agent.begin(loop, accept_from(listener), server("api.example.com", alpn));
    const bool fine = until([&] { return agent.settled(); }) && agent.error.empty();
    if (!fine) print_error("%s: %s\n", command.c_str(), agent.error.c_str());
    return fine;
  }
  bool answer_agent(const std::string& answer) {
    if (!until([&] { return agent.has("question\n"); })) return false;
    agent.transport->write(answer);
    agent.transport->end_writing();
    const bool ended = until([&] { return agent.ended && agent.transport->flushed(); });
    agent.transport.reset();
    if (ended) agent_program->wait();
    return ended;
  }
  bool prepare_origin(const std::string& new_key) {
    if (!must_run(make_certificate(new_key))) return false;
    roots = std::make_unique<TrustStore>(std::vector<std::string>{directory.file("root.pem")});
    context = std::make_unique<TlsContext>(*ca, *roots);
    return true;
  }
  void serve(const std::string& command) {
    origin_program.emplace(directory.file(""), command + " >origin.txt 2>&1");
  }
  uint16_t free_port() const {
    uint16_t free = 0;
    const Fd taken = listen_anywhere(free);
    return free;
  }
  bool connect(uint16_t to, const std::string& name, const std::string& key = "key",
               const std::vector<std::string>& alpn = {}) {
    // OpenSSL forgets the sessions of connections that did not end well.
    if (origin.transport && origin.transport->tls()->established()) {
      origin.transport->end_writing();
      until([&] { return origin.ended || !origin.error.empty(); });
    }
    origin.begin(loop, connect_to(to), must(TlsSession::client(*context, name, alpn, key)));
    return until([&] { return origin.settled(); }) && origin.error.empty();
  }
  bool ask(const char* question, const char* answer) {
    origin.transport->write(question);
    return until([&] { return origin.has(answer); });
  }
};

constexpr const char* p256 = "ec -pkeyopt ec_paramgen_curve:P-256";

bool lacks(const PeersTest& t, Library library, bool agent) {
  if (t.directory.has(program_of(library, agent)) && t.directory.has("openssl")) return false;
  print_message("no %s here\n", program_of(library, agent));
  return true;
}

void check_agents(PeersTest& t, Library library) {
  if (lacks(t, library, true)) _skip(__FILE__, __LINE__);
  if (library == Library::nss) assert_true(t.must_run(make_nss_agent));
  for (const Suite& suite : suites) {
    assert_true(t.run_agent(agent_command(library, suite, t.port)));
    assert_true(t.answer_agent(std::string(100'000, '~') + "\n"));
    assert_true(t.must_run("[ \"$(tr -cd '~' <out.txt | wc -c)\" -eq 100000 ]"));
  }
}

}  // namespace

static void agents_with_openssl_are_served_with_each_suite(PeersTest& t) {
  check_agents(t, Library::openssl);
}
static void agents_with_gnutls_are_served_with_each_suite(PeersTest& t) {
  check_agents(t, Library::gnutls);
}
static void agents_with_nss_are_served_with_each_suite(PeersTest& t) {
  check_agents(t, Library::nss);
}

static void an_agent_that_does_not_trust_us_is_named(PeersTest& t) {
  if (lacks(t, Library::openssl, true)) _skip(__FILE__, __LINE__);
  t.agent_program.emplace(
      t.directory.file(""),
      "openssl s_client -verify_return_error -no-CAfile -no-CApath -no-CAstore -connect "
      "127.0.0.1:" +
          std::to_string(t.port) + " >out.txt 2>&1");
  t.agent.begin(t.loop, accept_from(t.listener), t.server("api.example.com"));
  const bool failed = t.until([&] { return !t.agent.error.empty(); });
  assert_true(failed);
  assert_true(t.agent.error.find("unknown certificate authority") != std::string::npos);
}

static void agents_resume_by_ticket_and_by_id_and_agree_on_a_protocol_anew(PeersTest& t) {
  if (lacks(t, Library::openssl, true)) _skip(__FILE__, __LINE__);
  for (const char* option : {" ", " -no_ticket"}) {
    const std::string command =
        agent_command(Library::openssl, suites[0], t.port) + " -alpn h2,http/1.1" + option;
    assert_true(t.run_agent(command + " -sess_out session.pem", {"h2", "http/1.1"}));
    assert_false(t.agent.transport->tls()->resumed());
    assert_true(t.agent.transport->tls()->alpn() == "h2");
    assert_true(t.answer_agent("one\n"));
    for (const char* protocol : {"http/1.1", "h2"}) {
      assert_true(t.run_agent(command + " -sess_in session.pem", {protocol}));
      assert_true(t.agent.transport->tls()->resumed());
      assert_true(t.agent.transport->tls()->alpn() == protocol);
      assert_true(t.answer_agent("two\n"));
    }
    // A session is for the name under which it was made; by id, where we can tell.
    if (std::string_view(option) == " ") continue;
    t.agent_program.emplace(t.directory.file(""), command + " -sess_in session.pem >out.txt 2>&1",
                            "question");
    t.agent.begin(t.loop, accept_from(t.listener), t.server("b.example.com", {"h2"}));
    t.until([&] { return t.agent.settled(); });
    assert_false(t.agent.transport->tls()->resumed());
  }
}

static void agents_with_gnutls_resume_by_ticket_and_by_id(PeersTest& t) {
  if (lacks(t, Library::gnutls, true)) _skip(__FILE__, __LINE__);
  for (const char* option : {"", ":%NO_TICKETS"}) {
    const std::string command =
        agent_command(Library::gnutls, suites[0], t.port) + option + " --resume";
    assert_true(t.run_agent(command));
    const bool left = t.until([&] { return t.agent.ended; });
    assert_true(left);
    t.agent.begin(t.loop, accept_from(t.listener), t.server("api.example.com"));
    const bool back = t.until([&] { return t.agent.settled(); }) && t.agent.error.empty();
    assert_true(back && t.agent.transport->tls()->resumed());
    assert_true(t.answer_agent("two\n"));
  }
}

namespace {

void check_origins(PeersTest& t, Library library) {
  if (lacks(t, library, false)) _skip(__FILE__, __LINE__);
  assert_true(t.prepare_origin(p256));
  if (library == Library::nss) assert_true(t.must_run(make_nss_origin));
  const char* question = library == Library::nss ? "GET /stop HTTP/1.0\r\n\r\n" : "tattarrattat\n";
  const char* answer = library == Library::nss ? "HTTP/1.0 200" : "tattarrattat\n";
  for (const Suite& suite : suites) {
    const uint16_t port = t.free_port();
    t.serve(origin_command(library, suite, port));
    assert_true(t.connect(port, "api.example.com"));
    assert_true(t.ask(question, answer));
    const std::string key = suite.openssl;
    for (const bool again : {false, true}) {
      if (library == Library::nss) break;  // it stops when it has answered
      assert_true(t.connect(port, "api.example.com", key) && t.ask(question, answer));
      assert_int_equal(t.origin.transport->tls()->resumed(), again);
    }
    t.origin.transport.reset();
  }
}

}  // namespace

static void origins_with_openssl_are_used_with_each_suite(PeersTest& t) {
  check_origins(t, Library::openssl);
}
static void origins_with_gnutls_are_used_with_each_suite(PeersTest& t) {
  check_origins(t, Library::gnutls);
}
static void origins_with_nss_are_used_with_each_suite(PeersTest& t) {
  check_origins(t, Library::nss);
}

// From an agent of one library to an origin of the other: each suite here with each suite there.
static void suites_do_not_have_to_be_the_same_on_both_sides(PeersTest& t) {
  if (lacks(t, Library::openssl, true) || lacks(t, Library::gnutls, false))
    _skip(__FILE__, __LINE__);
  assert_true(t.prepare_origin(p256));
  for (const Library library : {Library::openssl, Library::gnutls}) {
    const Library there = library == Library::openssl ? Library::gnutls : Library::openssl;
    for (const Suite& outside : suites) {
      const uint16_t port = t.free_port();
      t.serve(origin_command(there, outside, port));
      for (const Suite& inside : suites) {
        assert_true(t.connect(port, "api.example.com"));
        assert_true(t.run_agent(agent_command(library, inside, t.port)));
        assert_true(t.until([&] { return t.agent.has("question\n"); }));
        t.origin.other = t.agent.transport.get();
        t.origin.transport->write("tattarrattat\n");
        assert_true(t.until([&] { return t.origin.has("tattarrattat\n"); }));
        t.agent.transport->end_writing();
        assert_true(t.until([&] { return t.agent.ended; }));
        t.agent_program->wait();
        assert_true(t.must_run("grep -q tattarrattat out.txt"));
        t.origin.other = nullptr;
      }
      t.origin.transport.reset();
    }
  }
}

namespace {

void check_origin(PeersTest& t, const std::string& new_key, const std::string& options) {
  if (lacks(t, Library::openssl, false)) _skip(__FILE__, __LINE__);
  assert_true(t.prepare_origin(new_key));
  const uint16_t port = t.free_port();
  t.serve("openssl s_server -accept 127.0.0.1:" + std::to_string(port) +
          " -cert server.pem -key server.key -rev -quiet -tls1_2 " + options);
  assert_true(t.connect(port, "api.example.com") && t.ask("stressed\n", "desserts\n"));
  assert_false(t.origin.transport->tls()->resumed());
  assert_true(t.connect(port, "api.example.com") && t.ask("stressed\n", "desserts\n"));
  assert_true(t.origin.transport->tls()->resumed());
  assert_true(t.connect(port, "127.0.0.1") && t.ask("stressed\n", "desserts\n"));
  assert_false(t.connect(port, "api.example.org"));
  assert_true(t.origin.error.find("is for other names: *.example.com") != std::string::npos);
}

}  // namespace

static void an_origin_with_ecdsa_is_verified_used_and_resumed(PeersTest& t) {
  check_origin(t, p256, "-cipher ECDHE-ECDSA-AES256-GCM-SHA384");
}

static void an_origin_with_rsa_is_verified_used_and_resumed(PeersTest& t) {
  check_origin(t, "rsa:2048", "-cipher ECDHE-RSA-CHACHA20-POLY1305");
}

static void an_origin_without_tickets_is_resumed_by_id(PeersTest& t) {
  check_origin(t, p256, "-no_ticket");
}

static void an_origin_without_aead_is_used_all_the_same(PeersTest& t) {
  check_origin(t, "rsa:2048", "-cipher ECDHE-RSA-AES128-SHA256");
}

static void a_protocol_is_agreed_on_anew_with_an_origin_that_resumes(PeersTest& t) {
  if (lacks(t, Library::openssl, false)) _skip(__FILE__, __LINE__);
  assert_true(t.prepare_origin(p256));
  const uint16_t port = t.free_port();
  t.serve(origin_command(Library::openssl, suites[0], port) + " -alpn h2,http/1.1");
  for (const char* protocol : {"h2", "http/1.1"}) {
    for (const bool again : {false, true}) {
      assert_true(t.connect(port, "api.example.com", "key", {protocol}));
      assert_int_equal(t.origin.transport->tls()->resumed(), again);
      assert_true(t.origin.transport->tls()->alpn() == protocol);
    }
  }
}

static void an_origin_of_tls_1_1_is_refused(PeersTest& t) {
  if (lacks(t, Library::openssl, false)) _skip(__FILE__, __LINE__);
  assert_true(t.prepare_origin(p256));
  const uint16_t port = t.free_port();
  t.serve("openssl s_server -accept 127.0.0.1:" + std::to_string(port) +
          " -cert server.pem -key server.key -rev -quiet -tls1_1 -cipher ALL:@SECLEVEL=0");
  assert_false(t.connect(port, "api.example.com"));
  assert_true(t.origin.error.find("speaks no version of TLS from 1.2 on") != std::string::npos ||
              t.origin.error.find("alert: protocol version") != std::string::npos);
}

int main() {
  signal(SIGPIPE, SIG_IGN);
  const CMUnitTest tests[] = {
      MOAT_TEST(PeersTest, agents_with_openssl_are_served_with_each_suite),
      MOAT_TEST(PeersTest, agents_with_gnutls_are_served_with_each_suite),
      MOAT_TEST(PeersTest, agents_with_nss_are_served_with_each_suite),
      MOAT_TEST(PeersTest, an_agent_that_does_not_trust_us_is_named),
      MOAT_TEST(PeersTest, agents_resume_by_ticket_and_by_id_and_agree_on_a_protocol_anew),
      MOAT_TEST(PeersTest, agents_with_gnutls_resume_by_ticket_and_by_id),
      MOAT_TEST(PeersTest, origins_with_openssl_are_used_with_each_suite),
      MOAT_TEST(PeersTest, origins_with_gnutls_are_used_with_each_suite),
      MOAT_TEST(PeersTest, origins_with_nss_are_used_with_each_suite),
      MOAT_TEST(PeersTest, suites_do_not_have_to_be_the_same_on_both_sides),
      MOAT_TEST(PeersTest, an_origin_with_ecdsa_is_verified_used_and_resumed),
      MOAT_TEST(PeersTest, an_origin_with_rsa_is_verified_used_and_resumed),
      MOAT_TEST(PeersTest, an_origin_without_tickets_is_resumed_by_id),
      MOAT_TEST(PeersTest, an_origin_without_aead_is_used_all_the_same),
      MOAT_TEST(PeersTest, a_protocol_is_agreed_on_anew_with_an_origin_that_resumes),
      MOAT_TEST(PeersTest, an_origin_of_tls_1_1_is_refused),
  };
  return cmocka_run_group_tests_name("proxy/tls_peers", tests, nullptr, nullptr);
}
