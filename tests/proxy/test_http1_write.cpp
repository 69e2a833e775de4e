#include <string>

#include "http1_log.h"
#include "moat_test.h"
#include "proxy/http1.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

// Keeps the heads themselves, to write them again.
struct Keeper : Http1Log {
  RequestHead request;
  ResponseHead response;
  Result<void> on_request(RequestHead head, BodyLength) override {
    request = std::move(head);
    return {};
  }
  Result<void> on_response(ResponseHead head, BodyLength) override {
    response = std::move(head);
    return {};
  }
};

struct WriteTest {
  Keeper keeper;
  std::string out;
  Headers headers;
};

}  // namespace

static void a_request_that_needs_no_change_passes_byte_for_byte(WriteTest& t) {
  for (const char* bytes : {
           "GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: a\r\n\r\n",
           "GET / HTTP/1.1\r\nAccept: a\r\nHost: x\r\nB: c\r\n\r\n",
           "GET / HTTP/1.1\r\nAccept: a\r\nHost: X:80\r\n\r\n",
           "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
           "GET / HTTP/1.0\r\n\r\n",
           "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
           "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
       }) {
    Http1Reader reader(Http1Reader::Role::requests, t.keeper);
    const bool read = bool(reader.feed(bytes));
    assert_true(read);
    t.out = write_head(t.keeper.request);
    assert_string_equal(t.out.c_str(), bytes);
  }
}

static void a_response_that_needs_no_change_passes_byte_for_byte(WriteTest& t) {
  for (const char* bytes : {
           "HTTP/1.1 200 OK\r\nA: b\r\na: c\r\n\r\n",
           "HTTP/1.0 404 \r\nContent-Length: 0\r\n\r\n",
       }) {
    Http1Reader reader(Http1Reader::Role::responses, t.keeper);
    const bool read = bool(reader.feed(bytes));
    assert_true(read);
    t.out = write_head(t.keeper.response);
    assert_string_equal(t.out.c_str(), bytes);
  }
}

static void host_stays_within_headers_that_have_become_fewer(WriteTest& t) {
  t.keeper.request.method = "GET";
  t.keeper.request.path = "/";
  t.keeper.request.authority = "x";
  t.keeper.request.host_index = 7;
  t.keeper.request.headers = {{"A", "b"}};
  t.out = write_head(t.keeper.request);
  assert_string_equal(t.out.c_str(), "GET / HTTP/1.1\r\nA: b\r\nHost: x\r\n\r\n");
}

static void a_value_cannot_become_two_lines(WriteTest& t) {
  t.keeper.request.method = "GET";
  t.keeper.request.path = "/";
  t.keeper.request.headers = {{"A", "b\r\nEvil: c"}};
  t.out = write_head(t.keeper.request);
  assert_string_equal(t.out.c_str(), "GET / HTTP/1.1\r\nA: b  Evil: c\r\n\r\n");
}

static void chunks_are_read_back_as_they_were_written(WriteTest& t) {
  t.headers = {{"T", "1"}};
  t.out = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("abc") + chunk("") +
          chunk(std::string(300, 'x')) + last_chunk(t.headers);
  t.out = read_messages(Http1Reader::Role::responses, t.out);
  t.keeper.text = "200 OK chunked\n Transfer-Encoding=chunked\nbody:abc" + std::string(300, 'x') +
                  "\n trailer T=1\nend\n";
  assert_string_equal(t.out.c_str(), t.keeper.text.c_str());
}

static void tokens_are_what_the_rfc_says(Nothing&) {
  assert_true(is_token("GET"));
  assert_true(is_token("!#$%&'*+-.^_`|~09azAZ"));
  assert_false(is_token(""));
  for (const char* bad : {"a b", "a\t", "(", ")", "<", ">", "@", ",", ";",    ":",    "\\",
                          "\"",  "/",   "[", "]", "?", "=", "{", "}", "\x7f", "\x80", "\x1f"}) {
    assert_false(is_token(bad));
  }
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(WriteTest, a_request_that_needs_no_change_passes_byte_for_byte),
      MOAT_TEST(WriteTest, a_response_that_needs_no_change_passes_byte_for_byte),
      MOAT_TEST(WriteTest, host_stays_within_headers_that_have_become_fewer),
      MOAT_TEST(WriteTest, a_value_cannot_become_two_lines),
      MOAT_TEST(WriteTest, chunks_are_read_back_as_they_were_written),
      MOAT_TEST(Nothing, tokens_are_what_the_rfc_says),
  };
  return cmocka_run_group_tests_name("proxy/http1_write", tests, nullptr, nullptr);
}
