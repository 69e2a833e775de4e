#include "proxy/upstream_proxy.h"

#include "core/text.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct UrlTest {
  std::string text;
  // "name", or "name USER:PASSWORD", or the message.
  const char* parse(std::string_view url) {
    const auto proxy = parse_upstream_proxy(url, "--upstream-proxy");
    if (!proxy) {
      text = proxy.error().message;
    } else {
      text = (*proxy)->name();
      const auto both = from_base64((*proxy)->credentials.reveal());
      if (both && !both->empty()) text += " " + *both;
    }
    return text.c_str();
  }
};

void a_url_is_read_as_curl_reads_it(UrlTest& t) {
  constexpr std::pair<const char*, const char*> cases[] = {
      {"http://proxy.corp:3128", "proxy.corp:3128"},
      {"HTTP://Proxy.Corp:3128/", "proxy.corp:3128"},
      {"proxy.corp:3128", "proxy.corp:3128"},
      {"http://proxy", "proxy:1080"},
      {"http://127.0.0.1:8080", "127.0.0.1:8080"},
      {"http://[::1]:8080", "[::1]:8080"},
      {"http://me:secret@proxy.corp:3128", "proxy.corp:3128 me:secret"},
      {"me:secret@proxy.corp:3128", "proxy.corp:3128 me:secret"},
      {"http://me@proxy.corp:3128", "proxy.corp:3128 me:"},
      {"http://me:a%40b%3ac%25@proxy.corp:3128", "proxy.corp:3128 me:a@b:c%"},
      {"http://me:a:b@proxy.corp:3128", "proxy.corp:3128 me:a:b"},
      {"http://corp%5cme:pass%20word@proxy.corp:3128", "proxy.corp:3128 corp\\me:pass word"},
  };
  for (const auto& [url, meaning] : cases) assert_string_equal(t.parse(url), meaning);
}

void what_cannot_be_used_is_told_without_its_password(UrlTest& t) {
  for (const char* url : {"",
                          "http://",
                          "http://@",
                          "http://me:hunter2@",
                          "http://me:hunter2@proxy:0",
                          "http://me:hunter2@proxy:99999",
                          "http://me:hunter2@proxy:x",
                          "http://me:hunter2@a b:1",
                          "http://me:hunter2@proxy:1/path",
                          "http://me:hunter2@proxy:1?x",
                          "http://me:hunter2@x@p:1",
                          "http://me:hunter2%0d%0aX:y@proxy:1",
                          "http://me:hunter2%@proxy:1",
                          "http://me:hunter2%4@proxy:1",
                          "http://me:hunter2%zz@proxy:1",
                          "http://me:hunter2/@proxy:1",
                          "http:/me:hunter2@proxy:1",
                          "http://m%3ae:hunter2@proxy:1",
                          "https://me:hunter2@proxy:1",
                          "socks5h://me:hunter2@proxy:1",
                          "hunter2://proxy:1",
                          "hunter2"}) {
    t.parse(url);
    const bool usable = parse_upstream_proxy(url, "x").has_value();
    if (std::string_view(url) != "hunter2") assert_false(usable);
    if (!usable) assert_true(t.text.find("hunter2") == std::string::npos);
  }
  t.parse("https://proxy:1");
  assert_true(t.text.find("https:// proxies are not supported") == 0);
  t.parse("http://" + std::string(5000, 'a'));
  assert_true(t.text.find("aaa") == std::string::npos);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(UrlTest, a_url_is_read_as_curl_reads_it),
      MOAT_TEST(UrlTest, what_cannot_be_used_is_told_without_its_password),
  };
  return cmocka_run_group_tests_name("proxy/upstream_proxy", tests, nullptr, nullptr);
}
