// TlsSession against another library: OpenSSL's own programs as agent and as origin.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>

#include "moat_test.h"
#include "proxy/transport.h"
#include "tls_world.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct PeersTest : TlsWorld, Transport::Handler {
  Loop loop;
  Fd listener;
  uint16_t port = 0;
  std::unique_ptr<Transport> transport;
  std::string got;
  std::string error;
  bool ready = false;
  bool ended = false;
  bool clean = false;
  pid_t child = -1;

  PeersTest() {
    listener = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener.get(), 8) != 0 ||
        getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("listen");
    port = ntohs(address.sin_port);
  }
  ~PeersTest() override { stop(); }

  void on_ready(Transport&) override { ready = true; }
  void on_input(Transport& from) override {
    got += from.input();
    from.consume(from.input().size());
  }
  void on_end(Transport&, bool in_order) override {
    ended = true;
    clean = in_order;
  }
  void on_drained(Transport&) override {}
  void on_error(Transport&, const Error& why) override { error = why.message; }

  // A command of the shell's, in the test's directory, in a group of its own.
  void start(const std::string& command) {
    const std::string line = "cd '" + directory.file("") + "' && exec " + command;
    child = fork();
    if (child == 0) {
      setpgid(0, 0);
      execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
      _exit(127);
    }
  }
  void stop() {
    if (child <= 0) return;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    child = -1;
  }
  void begin(Fd fd, std::unique_ptr<TlsSession> session) {
    got = error = "";
    ready = ended = clean = false;
    set_non_blocking(fd.get()) ? void() : throw std::runtime_error("O_NONBLOCK");
    transport = std::make_unique<Transport>(loop, std::move(fd), *this, Stream::Limits{});
    transport->start_tls(std::move(session));
  }
  Fd accepted() const {
    Fd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) throw std::runtime_error("accept");
    return fd;
  }
  // To s_server, which takes a moment to listen.
  Fd connected() const {
    for (int i = 0; i < 400; ++i) {
      Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(static_cast<uint16_t>(port));
      if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
      usleep(10'000);
    }
    throw std::runtime_error("s_server does not listen");
  }
  template <class Done>
  bool until(Done done) {
    return moat::test::turn_until(loop, done, std::chrono::seconds(10));
  }
};

constexpr const char* suites[] = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
};

}  // namespace

static void an_agent_with_openssl_is_served_with_each_suite(PeersTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  for (const char* suite : suites) {
    t.start("openssl s_client -quiet -ign_eof -tls1_2 -x509_strict -verify_return_error -cipher " +
            std::string(suite) + " -CAfile ca.pem -verify_hostname api.example.com -servername " +
            "api.example.com -connect 127.0.0.1:" + std::to_string(t.port) +
            " </dev/null >out.txt 2>err.txt");
    t.begin(t.accepted(), t.server("api.example.com"));
    const bool ready = t.until([&] { return t.ready || !t.error.empty(); });
    if (!ready || !t.error.empty()) print_error("%s: %s\n", suite, t.error.c_str());
    assert_true(ready && t.error.empty());
    t.transport->write(std::string(100000, 'x') + "\n");
    t.transport->end_writing();
    const bool ended = t.until([&] { return t.ended; });
    assert_true(ended);
    waitpid(t.child, nullptr, 0);
    t.child = -1;
    t.got = t.directory.run("wc -c < out.txt");
    const bool whole = t.got.find("100001") != std::string::npos;
    assert_true(whole);
  }
}

static void an_agent_that_does_not_trust_us_is_named(PeersTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  t.directory.write("empty.pem", "");
  t.start(
      "openssl s_client -verify_return_error -no-CAfile -no-CApath -no-CAstore -connect "
      "127.0.0.1:" +
      std::to_string(t.port) + " </dev/null >out.txt 2>&1");
  t.begin(t.accepted(), t.server("api.example.com"));
  const bool failed = t.until([&] { return !t.error.empty(); });
  assert_true(failed);
  assert_true(t.error.find("unknown certificate authority") != std::string::npos);
}

namespace {

// A root and a server certificate of OpenSSL's own making.
std::string make_certificate(const std::string& new_key) {
  return "openssl req -x509 -newkey " + new_key +
         " -nodes -keyout root.key -out root.pem -days 2 -subj /CN=root "
         "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign && "
         "openssl req -newkey " +
         new_key +
         " -nodes -keyout server.key -out server.csr -subj /CN=server && "
         "printf 'subjectAltName=DNS:*.example.com,IP:127.0.0.1\\n' > san && "
         "openssl x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1 "
         "-extfile san -out server.pem";
}

void serve(PeersTest& t, const std::string& options) {
  t.listener = Fd();
  t.start("openssl s_server -accept 127.0.0.1:" + std::to_string(t.port) +
          " -cert server.pem -key server.key -rev -quiet " + options + " >out.txt 2>&1");
}

bool exchange(PeersTest& t, TlsContext& context, const std::string& name) {
  t.begin(t.connected(), must(TlsSession::client(context, name, {}, "s_server")));
  if (!t.until([&] { return t.ready || !t.error.empty(); }) || !t.error.empty()) return false;
  t.transport->write("stressed\n");
  return t.until([&] { return t.got == "desserts\n"; });
}

void check_origin(PeersTest& t, const std::string& new_key, const std::string& ciphers) {
  const std::string made = t.directory.run(make_certificate(new_key));
  if (made.find("exit 0") == std::string::npos) print_error("%s\n", made.c_str());
  TrustStore roots({t.directory.file("root.pem")});
  TlsContext context(*t.ca, roots);
  serve(t, "-tls1_2 -cipher " + ciphers);
  const bool first = exchange(t, context, "api.example.com");
  const bool resumed =
      first && exchange(t, context, "api.example.com") && t.transport->tls()->resumed();
  const bool address = resumed && exchange(t, context, "127.0.0.1");
  const bool refused = address && !exchange(t, context, "api.example.org");
  const bool words = t.error.find("is for other names: *.example.com") != std::string::npos;
  t.transport.reset();
  t.stop();
  if (!refused || !words)
    print_error("%s: first %d, resumed %d, address %d, refused %d: %s\n", ciphers.c_str(), first,
                resumed, address, refused, t.error.c_str());
  assert_true(first && resumed && address && refused && words);
}

}  // namespace

static void an_origin_with_ecdsa_is_verified_used_and_resumed(PeersTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  check_origin(t, "ec -pkeyopt ec_paramgen_curve:P-256", "ECDHE-ECDSA-AES256-GCM-SHA384");
}

static void an_origin_with_rsa_is_verified_used_and_resumed(PeersTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  check_origin(t, "rsa:2048", "ECDHE-RSA-CHACHA20-POLY1305");
}

static void an_origin_without_aead_is_used_all_the_same(PeersTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  check_origin(t, "rsa:2048", "ECDHE-RSA-AES128-SHA256");
}

static void an_origin_of_tls_1_1_is_refused(PeersTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  const std::string made = t.directory.run(make_certificate("ec -pkeyopt ec_paramgen_curve:P-256"));
  serve(t, "-tls1_1 -cipher ALL:@SECLEVEL=0");
  const bool exchanged = exchange(t, *t.clients, "api.example.com");
  t.transport.reset();
  assert_false(exchanged);
  assert_true(t.error.find("speaks no version of TLS from 1.2 on") != std::string::npos ||
              t.error.find("alert: protocol version") != std::string::npos);
}

int main() {
  signal(SIGPIPE, SIG_IGN);
  const CMUnitTest tests[] = {
      MOAT_TEST(PeersTest, an_agent_with_openssl_is_served_with_each_suite),
      MOAT_TEST(PeersTest, an_agent_that_does_not_trust_us_is_named),
      MOAT_TEST(PeersTest, an_origin_with_ecdsa_is_verified_used_and_resumed),
      MOAT_TEST(PeersTest, an_origin_with_rsa_is_verified_used_and_resumed),
      MOAT_TEST(PeersTest, an_origin_without_aead_is_used_all_the_same),
      MOAT_TEST(PeersTest, an_origin_of_tls_1_1_is_refused),
  };
  return cmocka_run_group_tests_name("proxy/tls_peers", tests, nullptr, nullptr);
}
