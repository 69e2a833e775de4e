#include "proxy/content_coding.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

void of_gzip_and_identity_the_agents_wish_is_passed_on(Nothing&) {
  struct Row {
    const char* accept;
    const char* asked;
  };
  const Row rows[] = {
      {"gzip", "gzip"},
      {"GZIP, deflate, br", "gzip"},
      {"br;q=1.0, gzip;q=0.001", "gzip"},
      {"x-gzip", "gzip"},
      {"*", "gzip"},
      {"br, *;q=0.1", "gzip"},
      {"gzip ; q=0.5 , identity;q=0.5", "gzip"},
      {"identity;q=0, gzip", "gzip"},
      {"", "identity"},
      {"br, zstd, deflate", "identity"},
      {"gzip;q=0", "identity"},
      {"gzip;q=0.000", "identity"},
      {"gzip;q=0, *", "identity"},
      {"*;q=0", "identity"},
      {"gzip;q=0.5, identity", "identity"},
      {"gzip;q=2", "identity"},
      {"gzip;q=", "identity"},
      {"gzip;", "identity"},
      {"gzip;q=0.1234", "identity"},
      {"gzip;q=x", "identity"},
      {"gzip;level=9", "identity"},
      {"gzipped", "identity"},
  };
  for (const Row& row : rows) {
    const Headers headers = {{"Accept-Encoding", row.accept}};
    if (legible_coding(headers) != row.asked) print_error("for '%s'\n", row.accept);
    assert_true(legible_coding(headers) == row.asked);
  }
  assert_true(legible_coding({}) == "identity");
  assert_true(legible_coding({{"accept-encoding", "br"}, {"ACCEPT-ENCODING", "gzip"}}) == "gzip");
  assert_true(legible_coding({{"Accept-Encoding", "gzip"}, {"range", "bytes=0-9"}}) == "identity");
}

void a_request_asks_for_what_can_be_looked_into(Nothing&) {
  Headers headers = {{"A", "1"},
                     {"accept-encoding", "br, gzip"},
                     {"Sec-WebSocket-Extensions", "permessage-deflate"},
                     {"grpc-accept-encoding", "gzip"},
                     {"Accept-Encoding", "zstd"}};
  ask_for_legible(headers);
  assert_int_equal(headers.size(), 3);
  assert_string_equal(headers[1].name.c_str(), "accept-encoding");
  assert_string_equal(headers[1].value.c_str(), "gzip");
  assert_string_equal(headers[2].value.c_str(), "identity");
  Headers none;
  ask_for_legible(none);
  assert_int_equal(none.size(), 1);
  assert_string_equal(none[0].value.c_str(), "identity");
}

void codings_are_told_apart(Nothing&) {
  const auto coding = [](const char* value) {
    return content_coding({{"content-encoding", value}});
  };
  assert_true(content_coding({}) == Coding::identity);
  assert_true(coding("identity") == Coding::identity);
  assert_true(coding("") == Coding::identity);
  assert_true(coding("GZip") == Coding::gzip);
  assert_true(coding(" x-gzip ,") == Coding::gzip);
  for (const char* other : {"br", "deflate", "gzip, gzip", "gzip, br", "gzip;x", "gzip\tbr"})
    assert_true(coding(other) == Coding::other);
  assert_true(content_coding({{"Content-Encoding", "gzip"}, {"Content-Encoding", "gzip"}}) ==
              Coding::other);
  assert_true(content_coding({{"Grpc-Encoding", "gzip"}}) == Coding::other);
  assert_true(content_coding({{"Grpc-Encoding", "identity"}}) == Coding::identity);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, of_gzip_and_identity_the_agents_wish_is_passed_on),
      MOAT_TEST(Nothing, a_request_asks_for_what_can_be_looked_into),
      MOAT_TEST(Nothing, codings_are_told_apart),
  };
  return cmocka_run_group_tests_name("proxy/content_coding", tests, nullptr, nullptr);
}
