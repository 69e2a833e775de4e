#include "proxy/dns.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

std::string bytes(std::initializer_list<int> list) {
  std::string out;
  for (int b : list) out += static_cast<char>(b);
  return out;
}

std::string header(int questions, int additional = 0, int high = 1, int low = 0) {
  return bytes({0x12, 0x34, high, low, 0, questions, 0, 0, 0, 0, 0, additional});
}

const std::string question = std::string(
    "\x03"
    "aPi\x07"
    "eXample\x03"
    "com\0\0\x01\0\x01",
    21);
const std::string opt = bytes({0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0});

void a_question_is_read_and_echoed_to_the_letter(test::Nothing&) {
  const auto query = parse_dns_query(header(1) + question);
  assert_true(query.has_value());
  assert_int_equal(static_cast<int>(query->code), 0);
  assert_string_equal(query->name.c_str(), "api.example.com");
  assert_true(query->host_name);
  assert_int_equal(query->type, dns_type_a);
  const std::string answer = write_dns_answer(*query, DnsCode::no_error, {bytes({198, 18, 0, 1})});
  const std::string expected = bytes({0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}) + question +
                               bytes({0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 1});
  assert_int_equal(answer.size(), expected.size());
  assert_memory_equal(answer.data(), expected.data(), expected.size());
}

void edns_is_answered_with_edns(test::Nothing&) {
  const auto query = parse_dns_query(header(1, 1) + question + opt);
  assert_true(query.has_value() && query->edns);
  assert_int_equal(static_cast<int>(query->code), 0);
  const std::string answer = write_dns_answer(*query, DnsCode::no_such_name, {});
  assert_int_equal(answer[3] & 0xf, 3);
  assert_int_equal(answer[11], 1);
  assert_int_equal(answer.size(), 12 + question.size() + 11);
  std::string future = opt;
  future[6] = 1;
  const auto newer = parse_dns_query(header(1, 1) + question + future);
  assert_int_equal(static_cast<int>(newer->code), static_cast<int>(DnsCode::bad_version));
  const std::string refused = write_dns_answer(*newer, newer->code, {});
  assert_int_equal(refused[refused.size() - 6], 1);
}

void what_is_no_query_gets_no_answer(test::Nothing&) {
  assert_false(parse_dns_query("").has_value());
  assert_false(parse_dns_query(header(1).substr(0, 11)).has_value());
  assert_false(parse_dns_query(header(1, 0, 0x81) + question).has_value());
}

void malformed_questions_are_format_errors(test::Nothing&) {
  const std::string pointer = bytes({0xc0, 12, 0, 1, 0, 1});
  std::string endless;
  for (int i = 0; i < 130; i++) endless += bytes({1, 'a'});
  const std::string attempts[] = {
      header(0),
      header(2) + question + question,
      header(1) + pointer,
      header(1) + endless + bytes({0, 0, 1, 0, 1}),
      header(1) + question.substr(0, 20),
      header(1) + question + "x",
      header(1, 2) + question + opt + opt,
      header(1, 1) + question,
      header(1, 9) + question,
      header(1) + bytes({64, 'a'}),
  };
  for (const std::string& attempt : attempts) {
    const auto query = parse_dns_query(attempt);
    assert_true(query.has_value());
    assert_int_equal(static_cast<int>(query->code), static_cast<int>(DnsCode::format_error));
    assert_true(write_dns_answer(*query, query->code, {}).size() >= 12);
  }
  const auto update = parse_dns_query(header(1, 0, 0x28) + question);
  assert_int_equal(static_cast<int>(update->code), static_cast<int>(DnsCode::not_implemented));
}

void every_cut_of_a_query_is_survived(test::Nothing&) {
  const std::string whole = header(1, 1) + question + opt;
  for (size_t i = 0; i < whole.size(); i++) {
    const auto query = parse_dns_query(whole.substr(0, i));
    assert_true(!query || query->code == DnsCode::format_error);
  }
}

void bytes_that_no_host_has_are_seen(test::Nothing&) {
  const auto query =
      parse_dns_query(header(1) + bytes({3, 'a', '.', 'b', 3, 'c', 'o', 'm', 0, 0, 1, 0, 1}));
  assert_false(query->host_name);
  assert_string_equal(query->name.c_str(), "a\\.b.com");
  const auto root = parse_dns_query(header(1) + bytes({0, 0, 2, 0, 1}));
  assert_int_equal(static_cast<int>(root->code), 0);
  assert_false(root->host_name);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(test::Nothing, a_question_is_read_and_echoed_to_the_letter),
      MOAT_TEST(test::Nothing, edns_is_answered_with_edns),
      MOAT_TEST(test::Nothing, what_is_no_query_gets_no_answer),
      MOAT_TEST(test::Nothing, malformed_questions_are_format_errors),
      MOAT_TEST(test::Nothing, every_cut_of_a_query_is_survived),
      MOAT_TEST(test::Nothing, bytes_that_no_host_has_are_seen),
  };
  return cmocka_run_group_tests_name("proxy/dns", tests, nullptr, nullptr);
}
