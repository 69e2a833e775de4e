#include "proxy/tls.h"

#include <random>
#include <string>

#include "core/clock.h"
#include "moat_test.h"
#include "proxy/ca_leaf.h"
#include "proxy/crypto_library.h"
#include "proxy/x509_write.h"
#include "tls_world.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct TlsTest : TlsWorld {
  std::unique_ptr<TlsSession> a;  // the client
  std::unique_ptr<TlsSession> b;  // the server
  std::string said;

  void make(const std::string& client_name = "api.example.com",
            const std::string& server_name = "api.example.com", const std::string& key = "") {
    a = client(client_name, {}, key);
    b = server(server_name);
  }
  void connect(const std::string& key = "") {
    make("api.example.com", "api.example.com", key);
    said = shake_hands(*a, *b);
    if (!said.empty()) throw std::runtime_error(said);
  }
  static std::string take(TlsSession& session) {
    std::string bytes(session.plain().view());
    session.plain().clear();
    return bytes;
  }
  // In place of the server's certificate: one of another making, with the same key.
  void replace_leaf(const std::string& name, void (*change)(CertificateSpec&)) {
    auto leaf = must(ca->leaf(name));
    CertificateSpec spec;
    const int64_t now = system_clock().wall_ns() / 1'000'000'000;
    spec.subject = spec.issuer = "CN=" + name;
    spec.subject_key = spec.issuer_key = leaf->key.get();
    spec.not_before = now - 3600;
    spec.not_after = now + 3600;
    spec.alt_name = name;
    change(spec);
    const std::string der = must(write_certificate(spec));
    const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
    mbedtls_x509_crt_free(&leaf->certificate);
    mbedtls_x509_crt_init(&leaf->certificate);
    if (mbedtls_x509_crt_parse_der(&leaf->certificate, bytes, der.size()) != 0)
      throw std::runtime_error("certificate");
    // Trusted for itself, so that only what was changed is wrong.
    directory.write("ca.pem", "-----BEGIN CERTIFICATE-----\n" + base64_lines(der) +
                                  "-----END CERTIFICATE-----\n");
  }
  static std::string base64_lines(const std::string& der);
  bool mentions(const char* words) const {
    if (said.find(words) == std::string::npos) print_error("said: %s\n", said.c_str());
    return said.find(words) != std::string::npos;
  }
};

std::string TlsTest::base64_lines(const std::string& der) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < der.size(); i += 3) {
    unsigned value = 0;
    for (size_t j = 0; j < 3; ++j)
      value = value << 8 | (i + j < der.size() ? static_cast<unsigned char>(der[i + j]) : 0U);
    for (size_t j = 0; j < 4; ++j)
      out += i + j <= der.size() ? digits[value >> (18 - 6 * j) & 63] : '=';
    if (i % 48 == 45) out += '\n';
  }
  return out + "\n";
}

}  // namespace

#ifdef WITHOUT_LIBCRYPTO
constexpr bool has_libcrypto = false;
#else
constexpr bool has_libcrypto = true;
#endif

static void bytes_pass_both_ways(TlsTest& t) {
  assert_int_equal(bool(load_crypto()), has_libcrypto);
  t.connect();
  assert_true(t.a->established() && t.b->established());
  assert_false(t.a->resumed() || t.b->resumed());
  assert_true(t.a->version() == t.b->version());
  assert_true(bool(t.a->write("question")) && bool(t.b->write("answer")));
  t.said = carry(*t.a, *t.b);
  assert_string_equal(t.said.c_str(), "");
  t.said = TlsTest::take(*t.b) + " " + TlsTest::take(*t.a);
  assert_string_equal(t.said.c_str(), "question answer");
}

static void a_handshake_survives_any_cut(TlsTest& t) {
  for (const size_t piece : {1, 2, 3, 5, 7, 64, 333}) {
    t.make();
    t.said = shake_hands(*t.a, *t.b, piece);
    assert_string_equal(t.said.c_str(), "");
    assert_true(t.a->established() && t.b->established());
    assert_true(bool(t.a->write("x")));
    t.said = carry(*t.a, *t.b, piece);
    t.said += TlsTest::take(*t.b);
    assert_string_equal(t.said.c_str(), "x");
  }
}

static void data_in_the_flight_that_ends_the_handshake_is_not_lost(TlsTest& t) {
  t.make("api.example.com", "api.example.com", "key");
  t.said = shake_hands(*t.a, *t.b);
  // Resumed, the client speaks last: Finished and its first bytes leave together.
  t.make("api.example.com", "api.example.com", "key");
  assert_true(bool(t.a->start()));
  while (!t.a->established()) {
    assert_true(bool(t.b->feed(t.a->cipher().view())));
    t.a->cipher().clear();
    assert_true(bool(t.a->feed(t.b->cipher().view())));
    t.b->cipher().clear();
  }
  assert_true(bool(t.a->write("early")));
  assert_true(bool(t.b->feed(t.a->cipher().view())));
  t.said = TlsTest::take(*t.b);
  assert_string_equal(t.said.c_str(), "early");
}

static void an_origin_that_speaks_first_is_heard_with_its_finished(TlsTest& t) {
  t.make();
  assert_true(bool(t.a->start()));
  while (!t.b->established()) {
    assert_true(bool(t.b->feed(t.a->cipher().view())));
    t.a->cipher().clear();
    if (t.b->established()) break;
    assert_true(bool(t.a->feed(t.b->cipher().view())));
    t.b->cipher().clear();
  }
  assert_true(bool(t.b->write("220 ready")));
  assert_false(t.a->established());
  // In place, as a Transport does it: the words lie in the bytes that came.
  std::string bytes(t.b->cipher().view());
  const auto opened = t.a->open(bytes.data(), bytes.size());
  t.said = std::string(opened.plain) + std::string(t.a->plain().view());
  const bool all = opened.verdict && opened.taken == bytes.size() && t.a->established();
  std::string().swap(bytes);
  assert_true(all);
  assert_string_equal(t.said.c_str(), "220 ready");
}

static void half_a_record_is_left_for_later(TlsTest& t) {
  t.connect();
  assert_true(bool(t.a->write("one")));
  const size_t first = t.a->cipher().size();
  assert_true(bool(t.a->write("two")));
  t.said = t.a->cipher().view();
  for (const size_t given : {first - 1, size_t{3}, size_t{0}}) {
    const auto opened = t.b->open(t.said.data(), given);
    assert_true(opened.verdict && opened.plain.empty() && opened.taken <= given);
    if (opened.taken > 0) return;  // mbedTLS keeps its own beginnings of records
  }
  const auto opened = t.b->open(t.said.data(), t.said.size() - 1);
  assert_int_equal(opened.taken, first);
  assert_true(opened.plain == "one");
}

static void megabytes_in_random_pieces_arrive_as_they_were(TlsTest& t) {
  t.connect();
  std::minstd_rand dice(7);
  const std::string bytes = random_bytes(2 * 1024 * 1024);
  std::string got;
  std::string wire;
  size_t sent = 0;
  bool fine = true;
  while (got.size() < bytes.size() && fine) {
    if (sent < bytes.size()) {
      const size_t count = std::min<size_t>(dice() % 40000 + 1, bytes.size() - sent);
      fine = bool(t.a->write(std::string_view(bytes).substr(sent, count)));
      sent += count;
      wire += t.a->cipher().view();
      t.a->cipher().clear();
    }
    const size_t cut = std::min<size_t>(dice() % 50000 + 1, wire.size());
    fine = fine && bool(t.b->feed(std::string_view(wire).substr(0, cut)));
    wire.erase(0, cut);
    got += TlsTest::take(*t.b);
  }
  const bool same = fine && got == bytes;
  std::string().swap(got);
  assert_true(same);
}

static void two_thousand_tiny_records_in_one_piece_are_all_read(TlsTest& t) {
  t.connect();
  for (int i = 0; i < 2000; ++i) assert_true(bool(t.a->write("x")));
  assert_true(bool(t.b->feed(t.a->cipher().view())));
  assert_int_equal(t.b->plain().size(), 2000);
}

static void writing_before_the_handshake_is_an_error(TlsTest& t) {
  t.make();
  assert_false(bool(t.a->write("x")));
  assert_false(bool(t.b->write("x")));
  t.said = shake_hands(*t.a, *t.b);
  assert_true(bool(t.a->write("x")));
}

static void an_end_is_clean_only_with_close_notify(TlsTest& t) {
  t.connect();
  assert_true(bool(t.a->write("last words")));
  assert_false(t.b->peer_closed());
  t.a->close_notify();
  t.a->close_notify();
  assert_false(bool(t.a->write("more")));
  assert_true(bool(t.b->feed(t.a->cipher().view())));
  t.said = TlsTest::take(*t.b);
  assert_string_equal(t.said.c_str(), "last words");
  assert_true(t.b->peer_closed());
  // The other direction is open still.
  assert_true(bool(t.b->write("late answer")));
  assert_true(bool(t.a->feed(t.b->cipher().view())));
  t.said = TlsTest::take(*t.a);
  assert_string_equal(t.said.c_str(), "late answer");
  assert_false(t.a->peer_closed());
}

static void a_damaged_record_ends_the_session_with_an_alert(TlsTest& t) {
  t.connect();
  assert_true(bool(t.a->write("credential")));
  const std::string record(t.a->cipher().view());
  for (size_t at = 5; at < record.size(); at += 3) {
    t.connect();
    assert_true(bool(t.a->write("credential")));
    t.said = t.a->cipher().view();
    t.said[at] ^= 1;
    const auto fed = t.b->feed(t.said);
    assert_false(bool(fed));
    assert_int_equal(fed.error().code, Errc::tls);
    assert_true(t.b->plain().empty());
    assert_false(t.b->cipher().empty());
    assert_false(bool(t.b->feed("")));
    assert_false(bool(t.b->write("x")));
  }
}

static void an_oversized_record_is_refused(TlsTest& t) {
  t.connect();
  t.said = std::string("\x17\x03\x03\x7f\xff", 5) + std::string(32767, 'x');
  assert_false(bool(t.b->feed(t.said)));
}

static void plain_text_is_no_handshake(TlsTest& t) {
  t.make();
  assert_false(bool(t.b->feed("GET / HTTP/1.1\r\nHost: x\r\n\r\n")));
  assert_false(t.b->established());
}

static void a_certificate_for_another_name_is_refused_and_said_whose_it_is(TlsTest& t) {
  t.make("api.example.com", "other.example.com");
  t.said = shake_hands(*t.a, *t.b);
  assert_true(t.mentions("the certificate of api.example.com is for other names"));
  assert_true(t.mentions("other.example.com"));
  assert_false(t.a->established());
  // What is left to do is to tell the origin.
  assert_false(t.a->cipher().empty());
  const auto told = t.b->feed(t.a->cipher().view());
  assert_false(bool(told));
  t.said = told.error().message;
  assert_true(t.mentions("alert"));
}

static void the_same_issuer_with_another_key_is_refused(TlsTest& t) {
  t.make();
  const TlsWorld impostor;  // its CA bears the same name
  t.b = impostor.server("api.example.com");
  t.said = shake_hands(*t.a, *t.b);
  assert_true(t.mentions("is not trusted: no root for issuer 'O=moat, CN=moat run origins'"));
}

static void an_address_is_verified_by_its_octets(TlsTest& t) {
  const struct {
    const char* asked;
    const char* shown;
    bool fine;
  } cases[] = {
      {"127.0.0.1", "127.0.0.1", true},
      {"127.0.0.1", "127.0.0.2", false},
      {"127.0.0.1", "localhost", false},
      {"localhost", "127.0.0.1", false},
      {"::1", "::1", true},
      {"::1", "0:0:0:0:0:0:0:1", true},
      {"::1", "::2", false},
  };
  for (const auto& c : cases) {
    t.make(c.asked, c.shown);
    t.said = shake_hands(*t.a, *t.b);
    assert_int_equal(t.said.empty(), c.fine);
    if (!c.fine) assert_true(t.mentions("is for other names"));
  }
}

static void old_and_early_certificates_are_refused_in_plain_words(TlsTest& t) {
  const struct {
    void (*change)(CertificateSpec&);
    const char* words;
  } cases[] = {
      {[](CertificateSpec&) {}, ""},
      {[](CertificateSpec& spec) { spec.not_after -= 7200, spec.not_before -= 7200; },
       "has expired on 20"},
      {[](CertificateSpec& spec) { spec.not_after += 7200, spec.not_before += 7200; },
       "is not valid before 20"},
  };
  for (const auto& c : cases) {
    t.replace_leaf("odd.example", c.change);
    t.clients.reset();
    t.trust = std::make_unique<TrustStore>(std::vector<std::string>{t.directory.file("ca.pem")});
    t.clients = std::make_unique<TlsContext>(*t.ca, *t.trust);
    t.make("odd.example", "odd.example");
    t.said = shake_hands(*t.a, *t.b);
    t.a.reset();
    if (c.words[0] == '\0') {
      assert_string_equal(t.said.c_str(), "");
    } else {
      assert_true(t.mentions(c.words));
    }
  }
}

static void a_session_is_resumed_under_its_own_key_only(TlsTest& t) {
  t.connect("origin:443");
  assert_false(t.a->resumed());
  t.connect("origin:443");
  assert_true(t.a->resumed());
  assert_true(t.b->resumed());
  assert_true(bool(t.a->write("x")));
  t.said = carry(*t.a, *t.b);
  t.said += TlsTest::take(*t.b);
  assert_string_equal(t.said.c_str(), "x");
  t.connect("other:443");
  assert_false(t.a->resumed() || t.b->resumed());
  t.connect();
  assert_false(t.a->resumed() || t.b->resumed());
}

static void a_resumption_never_stands_for_another_name(TlsTest& t) {
  t.connect("origin:443");
  t.make("other.example.com", "api.example.com", "origin:443");
  t.said = shake_hands(*t.a, *t.b);
  assert_true(t.mentions("is for other names"));
}

static void an_origin_that_forgot_us_gets_a_full_handshake(TlsTest& t) {
  t.connect("origin:443");
  t.b.reset();
  t.origins = std::make_unique<TlsContext>(*t.ca, *t.nothing);  // with other ticket keys
  t.connect("origin:443");
  assert_false(t.a->resumed() || t.b->resumed());
  t.connect("origin:443");
  assert_true(t.a->resumed() && t.b->resumed());
}

static void protocols_are_agreed_best_first(TlsTest& t) {
  t.a = t.client("api.example.com", {"h2", "http/1.1"});
  t.b = t.server("api.example.com", {"http/1.1"});
  t.said = shake_hands(*t.a, *t.b);
  assert_string_equal(t.said.c_str(), "");
  assert_true(t.a->alpn() == "http/1.1" && t.b->alpn() == "http/1.1");
  t.a = t.client("api.example.com");
  t.b = t.server("api.example.com", {"http/1.1"});
  t.said = shake_hands(*t.a, *t.b);
  assert_true(t.a->alpn().empty() && t.b->alpn().empty());
  t.a = t.client("api.example.com", {"h2"});
  t.b = t.server("api.example.com", {"http/1.1"});
  t.said = shake_hands(*t.a, *t.b);
  assert_false(t.said.empty());
}

static void no_session_is_made_for_what_is_no_name(TlsTest& t) {
  assert_false(bool(TlsSession::server(*t.origins, "a b", {})));
  assert_false(bool(TlsSession::server(*t.origins, "", {})));
  assert_false(bool(TlsSession::client(*t.clients, "", {}, "")));
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(TlsTest, bytes_pass_both_ways),
      MOAT_TEST(TlsTest, a_handshake_survives_any_cut),
      MOAT_TEST(TlsTest, data_in_the_flight_that_ends_the_handshake_is_not_lost),
      MOAT_TEST(TlsTest, an_origin_that_speaks_first_is_heard_with_its_finished),
      MOAT_TEST(TlsTest, half_a_record_is_left_for_later),
      MOAT_TEST(TlsTest, megabytes_in_random_pieces_arrive_as_they_were),
      MOAT_TEST(TlsTest, two_thousand_tiny_records_in_one_piece_are_all_read),
      MOAT_TEST(TlsTest, writing_before_the_handshake_is_an_error),
      MOAT_TEST(TlsTest, an_end_is_clean_only_with_close_notify),
      MOAT_TEST(TlsTest, a_damaged_record_ends_the_session_with_an_alert),
      MOAT_TEST(TlsTest, an_oversized_record_is_refused),
      MOAT_TEST(TlsTest, plain_text_is_no_handshake),
      MOAT_TEST(TlsTest, a_certificate_for_another_name_is_refused_and_said_whose_it_is),
      MOAT_TEST(TlsTest, the_same_issuer_with_another_key_is_refused),
      MOAT_TEST(TlsTest, an_address_is_verified_by_its_octets),
      MOAT_TEST(TlsTest, old_and_early_certificates_are_refused_in_plain_words),
      MOAT_TEST(TlsTest, a_session_is_resumed_under_its_own_key_only),
      MOAT_TEST(TlsTest, a_resumption_never_stands_for_another_name),
      MOAT_TEST(TlsTest, an_origin_that_forgot_us_gets_a_full_handshake),
      MOAT_TEST(TlsTest, protocols_are_agreed_best_first),
      MOAT_TEST(TlsTest, no_session_is_made_for_what_is_no_name),
  };
  return cmocka_run_group_tests_name("proxy/tls", tests, nullptr, nullptr);
}
