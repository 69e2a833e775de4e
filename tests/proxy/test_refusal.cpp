#include "proxy/refusal.h"

#include "core/json.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct RefusalTest {
  Refusal refusal;
  RefusalMessage message;
  std::string value(const char* name) {
    const Header* header = find(message.head.headers, name);
    return header != nullptr ? header->value : "(none)";
  }
  std::string member(const char* name) {
    const auto json = Json::parse(message.body);
    return json ? (*json)[name].string("(none)") : "(no JSON)";
  }
};

void a_refusal_names_the_rule_its_place_and_the_remedy(RefusalTest& t) {
  t.refusal = {403, true, "GET /x is denied", "deny GET /x", "agent.yaml:12"};
  t.refusal.hint = "edit agent.yaml";
  t.message = render(t.refusal, "0123456789abcdef", false);
  assert_int_equal(t.message.head.status, 403);
  assert_string_equal(t.value("Content-Type").c_str(), "application/json");
  assert_string_equal(t.value("Content-Length").c_str(),
                      std::to_string(t.message.body.size()).c_str());
  assert_string_equal(t.value("X-Moat-Request-Id").c_str(), "0123456789abcdef");
  assert_string_equal(t.member("error").c_str(), "refused by moat");
  assert_string_equal(t.member("reason").c_str(), "GET /x is denied");
  assert_string_equal(t.member("rule").c_str(), "deny GET /x");
  assert_string_equal(t.member("where").c_str(), "agent.yaml:12");
  assert_string_equal(t.member("request_id").c_str(), "0123456789abcdef");
  assert_string_equal(t.member("hint").c_str(), "edit agent.yaml");
}

void head_is_answered_without_a_body(RefusalTest& t) {
  t.message = render(t.refusal, "id", true);
  assert_true(t.message.body.empty());
  assert_string_not_equal(t.value("Content-Length").c_str(), "0");
}

void a_reason_cannot_break_out_of_its_header(RefusalTest& t) {
  t.refusal.reason = "a\r\nSet-Cookie: x\xc3\xa9\x01 \"quoted\"";
  t.message = render(t.refusal, "id", false);
  assert_string_equal(t.value("X-Moat-Reason").c_str(), "a??Set-Cookie: x?? \"quoted\"");
  t.refusal.reason = std::string(5000, 'x');
  t.message = render(t.refusal, "id", false);
  assert_int_equal(t.value("X-Moat-Reason").size(), 512);
}

void failures_have_the_status_of_whose_fault_they_are(test::Nothing&) {
  assert_int_equal(refusal_for({Errc::denied, "x"}).status, 403);
  assert_true(refusal_for({Errc::denied, "x"}).ours);
  assert_int_equal(refusal_for({Errc::timeout, "x"}).status, 504);
  for (const Errc code : {Errc::dns, Errc::refused, Errc::tls, Errc::closed, Errc::io}) {
    assert_int_equal(refusal_for({code, "x"}).status, 502);
    assert_false(refusal_for({code, "x"}).ours);
  }
  assert_int_equal(refusal_for_syntax({Errc::invalid, "x"}).status, 400);
  assert_int_equal(refusal_for_syntax({Errc::too_large, "the headers are larger"}).status, 431);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(RefusalTest, a_refusal_names_the_rule_its_place_and_the_remedy),
      MOAT_TEST(RefusalTest, head_is_answered_without_a_body),
      MOAT_TEST(RefusalTest, a_reason_cannot_break_out_of_its_header),
      MOAT_TEST(test::Nothing, failures_have_the_status_of_whose_fault_they_are),
  };
  return cmocka_run_group_tests_name("proxy/refusal", tests, nullptr, nullptr);
}
