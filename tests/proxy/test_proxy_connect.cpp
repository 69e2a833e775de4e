#include "proxy/proxy_connect.h"

#include <memory>
#include <optional>

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct AnswerTest {
  std::shared_ptr<const UpstreamProxy> proxy = *parse_upstream_proxy("proxy.test:3128", "here");
  std::optional<ConnectAnswer> answer;
  std::string text;
  // What is left behind the answer, or the message; fed in pieces.
  const char* read(std::string_view bytes, size_t piece) {
    answer.emplace(*proxy, "api.test:443");
    std::string waiting;
    while (!bytes.empty() && !answer->open()) {
      waiting += bytes.substr(0, piece);
      bytes.remove_prefix(std::min(piece, bytes.size()));
      const auto consumed = answer->feed(waiting);
      if (!consumed) return (text = consumed.error().message).c_str();
      waiting.erase(0, *consumed);
    }
    return (text = waiting + std::string(bytes)).c_str();
  }
};

void credentials_go_into_the_request(AnswerTest& t) {
  t.text = write_connect(*t.proxy, "[::1]:443");
  assert_string_equal(t.text.c_str(), "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n");
  t.proxy = *parse_upstream_proxy("Aladdin:open%20sesame@proxy.test:1", "here");
  t.text = write_connect(*t.proxy, "a.test:1");
  assert_string_equal(t.text.c_str(),
                      "CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\n"
                      "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
}

void an_answer_is_the_same_however_it_is_cut(AnswerTest& t) {
  struct Case {
    const char* bytes;
    bool open;
    const char* text;
  };
  constexpr Case cases[] = {
      {"HTTP/1.1 200 OK\r\n\r\nrest", true, "rest"},
      {"HTTP/1.0 200 Connection established\r\nProxy-agent: x/1\r\n\r\n", true, ""},
      // RFC 9110 9.3.6: framing means nothing in a 2xx to CONNECT.
      {"HTTP/1.1 299 \r\nContent-Length: 3\r\n\r\nrest", true, "rest"},
      {"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", true, ""},
      {"HTTP/1.1 407 Who\r\nContent-Length: 3\r\n\r\nabc", false,
       "the proxy proxy.test:3128 (here) wants a user and a password (407); name it as "
       "http://USER:PASSWORD@proxy.test:3128"},
      {"HTTP/1.0 401 Unauthorized\r\n\r\n", false,
       "the proxy proxy.test:3128 (here) wants a user and a password (401); name it as "
       "http://USER:PASSWORD@proxy.test:3128"},
      {"HTTP/1.1 504 Late\r\n\r\n", false,
       "the proxy proxy.test:3128 (here) does not connect to api.test:443: 504 Gateway Timeout"},
      {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", false,
       "the proxy proxy.test:3128 (here) did not answer in proper HTTP/1.1"},
      {"HTTP/1.1 200 OK\nX: y\n\n", false,
       "the proxy proxy.test:3128 (here) did not answer in proper HTTP/1.1"},
      {"\x15\x03\x01\x01\x02\x02\r\n\r\n", false,
       "the proxy proxy.test:3128 (here) did not answer in proper HTTP/1.1"},
  };
  for (const Case& c : cases) {
    const std::string_view bytes(c.bytes, std::char_traits<char>::length(c.bytes));
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{1000}}) {
      assert_string_equal(t.read(bytes, piece), c.text);
      assert_int_equal(t.answer->open(), c.open);
    }
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AnswerTest, credentials_go_into_the_request),
      MOAT_TEST(AnswerTest, an_answer_is_the_same_however_it_is_cut),
  };
  return cmocka_run_group_tests_name("proxy/proxy_connect", tests, nullptr, nullptr);
}
