#include "proxy/http1_head.h"

#include <string>

#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

struct Target {
  const char* line;
  const char* host;    // header, or null
  const char* scheme;  // null: refused
  const char* authority = "";
  const char* path = "";
};

constexpr Target targets[] = {
    {"GET /a HTTP/1.1", "x", "", "x", "/a"},
    {"GET //x/a HTTP/1.1", "x", "", "x", "//x/a"},
    {"GET /\xc3\xa9 HTTP/1.1", "x", "", "x", "/\xc3\xa9"},
    {"GET http://x HTTP/1.1", "x", "http", "x", "/"},
    {"GET HTTPS://x?a HTTP/1.1", "x:443", "https", "x", "/?a"},
    {"GET http://X:80/ HTTP/1.1", "x.", "http", "X:80", "/"},
    {"GET http://[::1]:8080/ HTTP/1.1", "[0::1]:8080", "http", "[::1]:8080", "/"},
    {"GET http://x/a HTTP/1.0", nullptr, "http", "x", "/a"},
    {"OPTIONS http://x HTTP/1.1", "x", "http", "x", "*"},
    {"OPTIONS http://x/ HTTP/1.1", "x", "http", "x", "/"},
    {"CONNECT x:1 HTTP/1.0", nullptr, "", "x:1", ""},
    {"CONNECT x:1 HTTP/1.1", "x", "", "x:1", ""},
    {"GET https://x/ HTTP/1.1", "x:80", nullptr},
    {"GET http://x:1x/ HTTP/1.1", "x", nullptr},
    {"GET http:///a HTTP/1.1", "x", nullptr},
    {"GET http:/x/a HTTP/1.1", "x", nullptr},
    {"GET http://x/a#b HTTP/1.1", "x", nullptr},
    {"CONNECT x:0 HTTP/1.1", "x", nullptr},
    {"CONNECT http://x:1 HTTP/1.1", "x", nullptr},
};

}  // namespace

static void each_form_of_target_is_taken_apart(Nothing&) {
  for (const Target& t : targets) {
    std::string text = std::string(t.line) + "\r\nA: 1\r\n";
    if (t.host != nullptr) text += std::string("Host: ") + t.host + "\r\n";
    const auto head = parse_request_head(text, {});
    const bool right = t.scheme == nullptr
                           ? !head && head.error().code == Errc::invalid
                           : head && head->scheme == t.scheme && head->authority == t.authority &&
                                 head->path == t.path && head->headers.size() == 1 &&
                                 head->host_index == (t.host != nullptr ? 1U : 0U);
    if (!right) print_error("%s\n", t.line);
    std::string().swap(text);
    assert_true(right);
  }
}

static void messages_name_what_is_wrong_without_raw_bytes(Nothing&) {
  const auto head = parse_request_head("GET / HTTP/1.1\r\nA\x1b[2J: b\r\n", {});
  assert_true(!head);
  assert_true(head.error().message.find("name is no token") != std::string::npos);
  assert_true(head.error().message.find('\x1b') == std::string::npos);
}

static void chunk_sizes_are_read_up_to_the_largest_signed_number(Nothing&) {
  const auto largest = parse_chunk_line("7fffffffffffffff");
  assert_true(largest && *largest == INT64_MAX);
  const auto mixed = parse_chunk_line("00aBc \t;x=y");
  assert_true(mixed && *mixed == 0xabc);
  assert_false(bool(parse_chunk_line("8000000000000000")));
  assert_false(bool(parse_chunk_line("")));
}

static void only_harmless_fields_pass_as_trailers(Nothing&) {
  const auto fine = parse_trailers("grpc-status: 0\r\nETag: x\r\n", {});
  assert_true(fine && fine->size() == 2);
  for (const char* name : {"Content-Length", "transfer-encoding", "HOST", "Trailer", "TE",
                           "Connection", "Authorization", "Cookie", "Upgrade"}) {
    const bool passed = bool(parse_trailers(std::string(name) + ": 1\r\n", {}));
    assert_false(passed);
  }
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, each_form_of_target_is_taken_apart),
      MOAT_TEST(Nothing, messages_name_what_is_wrong_without_raw_bytes),
      MOAT_TEST(Nothing, chunk_sizes_are_read_up_to_the_largest_signed_number),
      MOAT_TEST(Nothing, only_harmless_fields_pass_as_trailers),
  };
  return cmocka_run_group_tests_name("proxy/http1_head", tests, nullptr, nullptr);
}
