// A peer whose handshake messages are well formed and meant to break the arithmetic: keys that are
// no points of their curve, and shared secrets that anyone could guess. With libcrypto beneath
// mbedTLS and without.
#include <algorithm>
#include <functional>
#include <string>

#include "core/crypto.h"
#include "core/mbedtls_compat.h"
#include "core/text.h"
#include "moat_test.h"
#include "proxy/ca_leaf.h"
#include "proxy/tls_accel.h"
#include "tls_world.h"

using namespace moat;
using namespace moat::proxy;

namespace {

// RFC 5246 7.4 and RFC 8422 5.4
constexpr char client_hello = 1;
constexpr char server_hello = 2;
constexpr char server_key_exchange = 12;
constexpr char client_key_exchange = 16;
constexpr size_t point_256 = 65;
constexpr size_t random_at = 2;  // in both hellos, behind the version
constexpr size_t random_size = 32;

std::string sized(size_t bytes, size_t count) {
  std::string out;
  for (size_t i = bytes; i-- > 0;) out += static_cast<char>(count >> (8 * i));
  return out;
}

struct HostileTest : TlsWorld {
  // Given a message's type and body, the body that is sent instead.
  using Edit = std::function<std::string(char type, const std::string& body)>;

  std::unique_ptr<TlsSession> origin;
  std::unique_ptr<TlsSession> agent;
  std::string randoms;
  int edited = 0;

  // TLS 1.3 shows none of the messages that are replaced here.
  bool shown = false;

  HostileTest() {
    begin();
    shown = proxy::shake_hands(*agent, *origin).empty() && agent->version() == "TLSv1.2";
    begin();
  }
  void begin() {
    origin = server("api.example.com");
    agent = client("api.example.com");
    randoms.clear();
    edited = 0;
  }
  ~HostileTest() { hold_acceleration(false); }

  // The error of whoever failed first, "client: …" or "server: …", or "".
  std::string shake_hands_by(const Edit& edit) {
    if (!agent->start()) return "client: start";
    while (!agent->cipher().empty() || !origin->cipher().empty()) {
      if (auto ok = origin->feed(altered(agent->cipher(), edit)); !ok)
        return "server: " + ok.error().message;
      if (auto ok = agent->feed(altered(origin->cipher(), edit)); !ok)
        return "client: " + ok.error().message;
    }
    return "";
  }

  // One handshake message a record, as mbedTLS sends them; what is encrypted passes.
  std::string altered(Buffer& from, const Edit& edit) {
    std::string out;
    const std::string bytes(from.view());
    from.clear();
    for (size_t at = 0; at + 5 <= bytes.size();) {
      const size_t size = (static_cast<unsigned char>(bytes[at + 3]) << 8U) +
                          static_cast<unsigned char>(bytes[at + 4]);
      const std::string record = bytes.substr(at, 5 + size);
      const bool plain = record[0] == 22 && size >= 4 &&
                         4U + (static_cast<unsigned char>(record[7]) << 8U) +
                                 static_cast<unsigned char>(record[8]) ==
                             size;
      out += plain ? message(record[5], record.substr(9), edit) : record;
      at += record.size();
    }
    return out;
  }
  std::string message(char type, const std::string& body, const Edit& edit) {
    if (type == client_hello || type == server_hello)
      randoms += body.substr(random_at, random_size);
    const std::string sent = edit(type, body);
    if (sent != body) ++edited;
    return "\x16\x03\x03" + sized(2, 4 + sent.size()) + type + sized(3, sent.size()) + sent;
  }

  // A ServerKeyExchange with this public key, signed as the origin would.
  std::string signed_exchange(const std::string& curve, const std::string& key) const {
    const std::string parameters = "\x03" + curve + sized(1, key.size()) + key;
    const Digest digest = sha256({randoms, parameters});
    const auto leaf = must(ca->leaf("api.example.com"));
    unsigned char signature[256];
    size_t size = 0;
    if (mbed::pk_sign(leaf->key.get(), MBEDTLS_MD_SHA256, digest.data(), digest.size(), signature,
                      sizeof signature, &size, random_for_mbedtls) != 0)
      throw std::runtime_error("sign");
    return parameters + "\x04\x03" + sized(2, size) +  // SHA-256, ECDSA
           std::string(reinterpret_cast<const char*>(signature), size);
  }
};

const std::string secp256r1("\x00\x17", 2);
const std::string x25519("\x00\x1d", 2);

// Keys that no honest peer sends.
struct HostileKey {
  const char* what;
  std::string curve;
  std::string (*key)(const std::string& honest);
};
const HostileKey hostile_keys[] = {
    {"off the curve", secp256r1,
     [](const std::string& honest) {
       std::string point = honest;
       point.back() = static_cast<char>(point.back() ^ 1);
       return point;
     }},
    {"beyond the field", secp256r1,
     [](const std::string& honest) {
       std::string point = honest;
       std::fill(point.begin() + 1, point.begin() + 33, '\xff');
       return point;
     }},
    {"the point at infinity", secp256r1, [](const std::string&) { return std::string(1, '\0'); }},
    {"all zeros", secp256r1, [](const std::string&) { return '\x04' + std::string(64, '\0'); }},
    {"zero", x25519, [](const std::string&) { return std::string(32, '\0'); }},
    {"one", x25519, [](const std::string&) { return '\x01' + std::string(31, '\0'); }},
    {"of order eight", x25519,
     [](const std::string&) {
       return *from_hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
     }},
    {"less than one", x25519,
     [](const std::string&) {
       return *from_hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
     }},
};

bool begins(const std::string& text, const char* with) {
  return text.rfind(with, 0) == 0;
}
bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

static void a_handshake_that_nobody_touches_succeeds(HostileTest& t) {
  if (!t.shown) _skip(__FILE__, __LINE__);
  const std::string error = t.shake_hands_by([](char, const std::string& body) { return body; });
  assert_string_equal(error.c_str(), "");
  assert_true(t.origin->established() && t.agent->established());
  assert_int_equal(t.randoms.size(), 2 * random_size);
}

static void our_signed_exchange_is_taken_for_the_origins(HostileTest& t) {
  if (!t.shown) _skip(__FILE__, __LINE__);
  // The origin's own key signed again: what fails in the tests below fails for its point.
  const std::string error = t.shake_hands_by([&](char type, const std::string& body) {
    if (type != server_key_exchange) return body;
    return t.signed_exchange(secp256r1, body.substr(4, point_256));
  });
  assert_int_equal(t.edited, 1);
  // Only the Finished tells: the two signatures differ.
  assert_true(begins(error, "server: a TLS record from"));
}

static void an_origin_with_a_hostile_key_is_refused(HostileTest& t) {
  if (!t.shown) _skip(__FILE__, __LINE__);
  for (const bool held : {false, true}) {
    for (const HostileKey& it : hostile_keys) {
      t.begin();
      hold_acceleration(held);
      const std::string error = t.shake_hands_by([&](char type, const std::string& body) {
        if (type != server_key_exchange) return body;
        return t.signed_exchange(it.curve, it.key(body.substr(4, point_256)));
      });
      const bool refused = begins(error, "client: ") && has(error, "Invalid private or public key");
      if (!refused) print_error("an origin's key %s: %s\n", it.what, error.c_str());
      assert_true(refused);
      assert_int_equal(t.edited, 1);
      assert_false(t.agent->established());
    }
  }
}

// On P-256 only: X25519 we never choose, since whoever can verify our leaf knows P-256.
static void an_agent_with_a_hostile_key_is_refused(HostileTest& t) {
  if (!t.shown) _skip(__FILE__, __LINE__);
  for (const bool held : {false, true}) {
    for (const HostileKey& it : hostile_keys) {
      if (it.curve != secp256r1) continue;
      t.begin();
      hold_acceleration(held);
      const std::string error = t.shake_hands_by([&](char type, const std::string& body) {
        if (type != client_key_exchange) return body;
        const std::string key = it.key(body.substr(1));
        return sized(1, key.size()) + key;
      });
      const bool refused = begins(error, "server: ") && has(error, "Calculate Secret");
      if (!refused) print_error("an agent's key %s: %s\n", it.what, error.c_str());
      assert_true(refused);
      assert_int_equal(t.edited, 1);
      assert_false(t.origin->established());
    }
  }
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(HostileTest, a_handshake_that_nobody_touches_succeeds),
      MOAT_TEST(HostileTest, our_signed_exchange_is_taken_for_the_origins),
      MOAT_TEST(HostileTest, an_origin_with_a_hostile_key_is_refused),
      MOAT_TEST(HostileTest, an_agent_with_a_hostile_key_is_refused),
  };
  return cmocka_run_group_tests_name("proxy/tls_hostile", tests, nullptr, nullptr);
}
