#include "proxy/client_hello.h"

#include <string>

#include "moat_test.h"
#include "tls_world.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

std::string be(size_t value, size_t size) {
  std::string out;
  while (size-- > 0) out += static_cast<char>(value >> (8 * size));
  return out;
}
std::string vec(size_t size, const std::string& body) {
  return be(body.size(), size) + body;
}
std::string extension(unsigned kind, const std::string& body) {
  return be(kind, 2) + vec(2, body);
}
std::string server_name(const std::string& name) {
  return extension(0, vec(2, std::string(1, '\0') + vec(2, name)));
}
std::string alpn(const std::string& list) {
  return extension(16, vec(2, list));
}

std::string message(const std::string& extensions) {
  return "\x01" +
         vec(3, "\x03\x03" + std::string(32, 'r') + vec(1, "") + vec(2, "\xc0\x2b") +
                    vec(1, std::string(1, '\0')) + (extensions.empty() ? "" : vec(2, extensions)));
}
std::string records(const std::string& bytes, size_t size = 16384) {
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += size)
    out += "\x16\x03\x01" + vec(2, bytes.substr(at, size));
  return out;
}
std::string hello(const std::string& extensions) {
  return records(message(extensions));
}

struct HelloTest : TlsWorld {
  std::string bytes;
};

}  // namespace

static void a_real_hello_is_read(HelloTest& t) {
  const auto session = t.client("API.example.com", {"h2", "http/1.1"});
  assert_true(bool(session->start()));
  t.bytes = session->cipher().view();
  const auto read = parse_client_hello(t.bytes);
  assert_true(bool(read));
  assert_true(read->server_name == "api.example.com");
  assert_int_equal(read->alpn.size(), 2);
  assert_true(read->alpn[0] == "h2" && read->alpn[1] == "http/1.1");
  assert_int_equal(recognise(t.bytes), FirstBytes::tls);
  for (size_t size = 0; size < t.bytes.size(); ++size) {
    const auto part = parse_client_hello(std::string_view(t.bytes).substr(0, size));
    assert_true(!part && part.error().code == Errc::eof);
  }
}

static void a_hello_to_an_address_names_no_server(HelloTest& t) {
  const auto session = t.client("127.0.0.1");
  assert_true(bool(session->start()));
  const auto read = parse_client_hello(session->cipher().view());
  assert_true(read && read->server_name.empty() && read->alpn.empty());
}

static void a_hello_in_many_records_is_put_together(HelloTest& t) {
  for (const size_t size : {1, 2, 3, 4, 5, 40, 100}) {
    t.bytes = records(message(server_name("a.example")), size);
    const auto read = parse_client_hello(t.bytes);
    assert_true(read && read->server_name == "a.example");
    for (size_t cut = 0; cut < t.bytes.size(); ++cut) {
      const auto part = parse_client_hello(std::string_view(t.bytes).substr(0, cut));
      assert_true(!part && part.error().code == Errc::eof);
    }
  }
}

static void what_follows_the_hello_is_let_be(HelloTest& t) {
  t.bytes = hello(server_name("a.example.")) + "anything";
  const auto read = parse_client_hello(t.bytes);
  assert_true(read && read->server_name == "a.example");
  assert_true(bool(parse_client_hello(hello(""))));
  assert_true(bool(parse_client_hello(hello(extension(0x0a0a, "x") + server_name("a.example")))));
}

static void malformed_hellos_are_refused(HelloTest& t) {
  const std::string good = message(server_name("a.example"));
  const std::string bad[] = {
      "GET / HTTP/1.1\r\n",
      "\x15\x03\x01" + vec(2, good),
      "\x16\x02\x01" + vec(2, good),
      std::string("\x16\x03\x01\x00\x00", 5),
      "\x16\x03\x01\x40\x01" + good,
      records("\x02" + good.substr(1)),
      records("\x01" + vec(3, good.substr(4) + "x")),
      records("\x01" + vec(3, good.substr(4, good.size() - 5))),
      records("\x01" + vec(3, "")),
      hello(server_name("")),
      hello(server_name("a b")),
      hello(server_name("1.2.3.4")),
      hello(server_name("[::1]")),
      hello(server_name("a.example:443")),
      hello(server_name("a.example/")),
      hello(server_name(std::string("a\0b.example", 11))),
      hello(server_name("a.example") + server_name("a.example")),
      hello(extension(0, "")),
      hello(extension(0, vec(2, ""))),
      hello(extension(0, vec(2, "\x01" + vec(2, "a.example")))),
      hello(extension(
          0, vec(2, std::string(1, '\0') + vec(2, "a") + std::string(1, '\0') + vec(2, "b")))),
      hello(extension(0, vec(2, std::string(1, '\0') + vec(2, "a")) + "x")),
      hello(server_name("a.example") + "x"),
      hello(alpn("")),
      hello(alpn(std::string(1, '\0'))),
      hello(alpn("\x05h2")),
      hello(alpn(vec(1, "h2")) + alpn(vec(1, "h2"))),
  };
  for (const std::string& bytes : bad) {
    const auto read = parse_client_hello(bytes);
    const bool refused = !read && read.error().code == Errc::invalid;
    if (!refused) print_error("case %zu\n", static_cast<size_t>(&bytes - bad));
    assert_true(refused);
  }
  std::string many;
  for (int i = 0; i < 33; ++i) many += vec(1, "x");
  t.bytes = hello(alpn(many));
  assert_false(bool(parse_client_hello(t.bytes)));
}

static void a_hello_beyond_the_limit_is_too_large(HelloTest& t) {
  t.bytes = hello(extension(21, std::string(30000, 'p')) + server_name("a.example"));
  assert_true(bool(parse_client_hello(t.bytes)));
  t.bytes = hello(extension(21, std::string(40000, 'p')));
  auto read = parse_client_hello(t.bytes);
  assert_true(!read && read.error().code == Errc::too_large);
  // It need not have come for that.
  read = parse_client_hello(std::string_view(t.bytes).substr(0, 9));
  assert_true(!read && read.error().code == Errc::eof);
  read = parse_client_hello(records("\x01\xff\xff\xff", 4));
  assert_true(!read && read.error().code == Errc::too_large);
}

static void the_first_bytes_tell_the_protocol(Nothing&) {
  const struct {
    std::string bytes;
    FirstBytes is;
  } cases[] = {
      {"", FirstBytes::more},
      {"\x16", FirstBytes::more},
      {"\x16\x03", FirstBytes::tls},
      {"\x16\x02", FirstBytes::other},
      {"G", FirstBytes::more},
      {"GET", FirstBytes::more},
      {"GET ", FirstBytes::http},
      {"\r", FirstBytes::more},
      {"\r\n", FirstBytes::more},
      {"\r\nPOST /", FirstBytes::http},
      {"\r\n\r\nPOST /", FirstBytes::other},
      {"M-SEARCH * HTTP/1.1", FirstBytes::http},
      {"PRI * HT", FirstBytes::more},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FirstBytes::http2},
      {"PRI * HTTP/1.1", FirstBytes::http},
      {"PRINT /", FirstBytes::http},
      {"P", FirstBytes::more},
      {" GET", FirstBytes::other},
      {"SSH-2.0-OpenSSH_9.2\r\n", FirstBytes::other},
      {"EHLO\r\n", FirstBytes::other},
      {std::string(1, '\0'), FirstBytes::other},
      {std::string(21, 'A'), FirstBytes::other},
      {std::string(20, 'A'), FirstBytes::more},
  };
  for (const auto& c : cases) {
    if (recognise(c.bytes) != c.is) print_error("%s\n", c.bytes.c_str());
    assert_int_equal(recognise(c.bytes), c.is);
  }
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(HelloTest, a_real_hello_is_read),
      MOAT_TEST(HelloTest, a_hello_to_an_address_names_no_server),
      MOAT_TEST(HelloTest, a_hello_in_many_records_is_put_together),
      MOAT_TEST(HelloTest, what_follows_the_hello_is_let_be),
      MOAT_TEST(HelloTest, malformed_hellos_are_refused),
      MOAT_TEST(HelloTest, a_hello_beyond_the_limit_is_too_large),
      MOAT_TEST(Nothing, the_first_bytes_tell_the_protocol),
  };
  return cmocka_run_group_tests_name("proxy/client_hello", tests, nullptr, nullptr);
}
