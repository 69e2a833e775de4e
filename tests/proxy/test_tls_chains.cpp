// Chains of OpenSSL's own making, of each kind of key, verified by moat over real connections:
// every signature counts, with libcrypto beneath mbedTLS and without.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "core/fd.h"
#include "core/text.h"
#include "moat_test.h"
#include "proxy/tls_accel.h"
#include "tls_world.h"

using namespace moat;
using namespace moat::proxy;

namespace {

constexpr const char* p256 = "EC -pkeyopt ec_paramgen_curve:P-256";
constexpr const char* p384 = "EC -pkeyopt ec_paramgen_curve:P-384";
constexpr const char* rsa = "RSA -pkeyopt rsa_keygen_bits:2048";

// Keys of root, intermediate and server; what signs with them; curves that the server takes.
struct Chain {
  const char* root;
  const char* middle;
  const char* server;
  const char* signing;
  const char* curves;
  const char* suite;
};
constexpr const char* pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
constexpr Chain chains[] = {
    {p256, p256, p256, "-sha256", "P-256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {p384, p384, p256, "-sha384", "X25519", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {p384, p256, p384, "-sha256", "P-384", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {rsa, rsa, rsa, "-sha256", "X25519", "ECDHE-RSA-AES128-GCM-SHA256"},
    {rsa, rsa, p256, "-sha256", "P-256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {p256, p384, rsa, "-sha256", "P-384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {rsa, rsa, rsa, pss, "P-256", "ECDHE-RSA-AES128-GCM-SHA256"},
};

// As a shell script, for the test's directory. `other.pem` is a CA of the same name and kind.
std::string making(const Chain& chain) {
  // Kept for the next chain: making one of RSA takes longer than everything else.
  const auto key = [](const char* name, const char* kind) {
    return format(
        "kept='%s of %s' && { [ -f \"$kept\" ] || openssl genpkey -algorithm %s -out \"$kept\"; }"
        " && cp \"$kept\" %s.key && ",
        name, kind, kind, name);
  };
  const auto authority = [&](const char* name, const char* of) {
    return format(
        "openssl req -x509 -new -key %s.key -out %s.pem -days 2 -subj /CN=root %s "
        "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign && ",
        name, name, of);
  };
  const auto issued = [&](const char* name, const char* by, const char* extensions) {
    return format(
        "printf '%s' >ext && openssl req -new -key %s.key -subj /CN=%s -out csr && "
        "openssl x509 -req -in csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 1 -extfile ext "
        "%s -out %s.pem && ",
        extensions, name, name, by, by, chain.signing, name);
  };
  return key("root", chain.root) + authority("root", chain.signing) + key("other", chain.root) +
         authority("other", chain.signing) + key("middle", chain.middle) +
         issued("middle", "root", "basicConstraints=critical,CA:TRUE\\nkeyUsage=keyCertSign\\n") +
         key("server", chain.server) +
         issued("server", "middle", "subjectAltName=DNS:api.example.com\\n") + "true";
}

// The last byte of a certificate's signature, one more.
constexpr const char* damage =
    "openssl x509 -in %s.pem -outform DER -out der && "
    "{ head -c -1 der && tail -c 1 der | tr '\\000-\\377' '\\001-\\377\\000'; } >damaged && "
    "cp %s.pem good.pem && openssl x509 -inform DER -in damaged -out %s.pem";

struct ChainTest : TlsWorld {
  pid_t child = -1;
  uint16_t port = 0;

  ~ChainTest() {
    stop();
    hold_acceleration(false);
  }

  void start(const Chain& chain) {
    const Fd free_port(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(free_port.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(free_port.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("bind");
    port = ntohs(address.sin_port);
    const std::string line = format(
        "cd '%s' && exec openssl s_server -accept 127.0.0.1:%d -cert server.pem -key "
        "server.key -cert_chain middle.pem -tls1_2 -cipher %s -curves %s -quiet -rev "
        ">log 2>&1",
        directory.file("").c_str(), port, chain.suite, chain.curves);
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
  [[nodiscard]] Fd connected() const {
    for (int i = 0; i < 400; ++i) {
      Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(port);
      if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
      usleep(10'000);
    }
    throw std::runtime_error("s_server does not listen");
  }
  // What came of a full handshake: "" or the error.
  std::string verify(const char* root, const char* name) {
    TrustStore roots({directory.file(root)});
    TlsContext context(*ca, roots);
    auto session = must(TlsSession::client(context, name, {}, ""));
    const Fd fd = connected();
    if (auto ok = session->start(); !ok) return ok.error().message;
    while (!session->established()) {
      const std::string out(session->cipher().view());
      session->cipher().clear();
      if (!out.empty() && ::write(fd.get(), out.data(), out.size()) < 0) return "write";
      char room[16384];
      const ssize_t got = ::read(fd.get(), room, sizeof room);
      if (got <= 0) return "the end";
      if (auto ok = session->feed({room, static_cast<size_t>(got)}); !ok) return ok.error().message;
    }
    return "";
  }
};

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

void check(ChainTest& t, const Chain& chain, const char* root, const char* name,
           const char* expected) {
  for (const bool held : {false, true}) {
    hold_acceleration(held);
    const uint64_t before = accelerated_multiplications();
    const std::string error = t.verify(root, name);
    const bool as_expected = *expected == '\0' ? error.empty() : has(error, expected);
    if (!as_expected) print_error("%s, %s: %s\n", chain.suite, chain.curves, error.c_str());
    assert_true(as_expected);
    if (held) assert_int_equal(accelerated_multiplications() - before, 0);
    // A key pair and a shared secret at least; a root of RSA hides all behind it when refused.
    const bool counts = !held && *expected == '\0' && accelerate_handshakes();
    if (counts) assert_true(accelerated_multiplications() - before >= 2);
  }
}

constexpr const char* untrusted = "is not trusted: no root for issuer";

}  // namespace

static void chains_of_every_kind_are_verified_to_the_last_signature(ChainTest& t) {
  if (!t.directory.has("openssl")) _skip(__FILE__, __LINE__);
  for (const Chain& chain : chains) {
    const std::string made = t.directory.run(making(chain));
    if (!has(made, "exit 0")) print_error("%s\n", made.c_str());
    assert_true(has(made, "exit 0"));
    t.start(chain);
    check(t, chain, "root.pem", "api.example.com", "");
    check(t, chain, "root.pem", "api.example.org", "is for other names: api.example.com");
    check(t, chain, "other.pem", "api.example.com", untrusted);
    t.stop();
    for (const char* damaged : {"server", "middle"}) {
      const std::string done = t.directory.run(format(damage, damaged, damaged, damaged));
      assert_true(has(done, "exit 0"));
      t.start(chain);
      check(t, chain, "root.pem", "api.example.com", untrusted);
      t.stop();
      const std::string mended = t.directory.run(format("cp good.pem %s.pem", damaged));
      assert_true(has(mended, "exit 0"));
    }
  }
}

int main() {
  signal(SIGPIPE, SIG_IGN);
  const CMUnitTest tests[] = {
      MOAT_TEST(ChainTest, chains_of_every_kind_are_verified_to_the_last_signature),
  };
  return cmocka_run_group_tests_name("proxy/tls_chains", tests, nullptr, nullptr);
}
