#include "redirect_answer.h"

#include <string>

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

const RedirectExpected plain = {"st4te", "", false};
const RedirectExpected known = {"st4te", "https://as.example", false};
const RedirectExpected telling = {"st4te", "https://as.example", true};

// "" for a code; what the error is called otherwise.
std::string outcome(const Result<Secret>& got) {
  if (got) return std::string(got->reveal());
  if (got.error().code == Errc::invalid) return "(no answer)";
  return (got.error().code == Errc::denied ? "(denied) " : "(refused) ") + got.error().message;
}

void an_answer_is_read_by_the_book(Nothing&) {
  struct {
    const char* query;
    const char* outcome;
  } const cases[] = {
      {"code=c0de&state=st4te", "c0de"},
      {"state=st4te&code=c0de", "c0de"},
      {"&&code=a%2Fb%2b%7E&state=st4te&session_state=x&other", "a/b+~"},
      {"error=access_denied&state=st4te", "(denied) access was denied"},
      {"error=server_error&error_description=too+bad%1b%5b2J&state=st4te",
       "(refused) server_error (too bad\\x1b[2J)"},
      // Not what was asked for, or not an answer at all.
      {"", "(no answer)"},
      {"code=c0de", "(no answer)"},
      {"code=c0de&state=", "(no answer)"},
      {"code=c0de&state=St4te", "(no answer)"},
      {"code=c0de&state=st4te2", "(no answer)"},
      {"code=c0de&state=st4t", "(no answer)"},
      {"code=c0de&State=st4te", "(no answer)"},
      {"error=access_denied&state=other", "(no answer)"},
      {"error=access_denied", "(no answer)"},
      // In two minds.
      {"code=c0de&state=st4te&state=st4te", "(no answer)"},
      {"code=c0de&code=c1de&state=st4te", "(no answer)"},
      {"code=c0de&state=st4te&%63ode=c1de", "(no answer)"},
      {"code=c0de&state=st4te&x=1&x=2", "(no answer)"},
      {"code=c0de&error=access_denied&state=st4te", "(no answer)"},
      // Codes that are none.
      {"state=st4te", "(no answer)"},
      {"code=&state=st4te", "(no answer)"},
      {"code=a+b&state=st4te", "(no answer)"},
      {"code=a%0d%0aX&state=st4te", "(no answer)"},
      {"code=a%00b&state=st4te", "(no answer)"},
      {"code=a%zz&state=st4te", "(no answer)"},
      {"code=a%4&state=st4te", "(no answer)"},
      {"code=a%&state=st4te", "(no answer)"},
  };
  for (const auto& [query, wanted] : cases)
    assert_string_equal(outcome(read_redirect(query, plain)).c_str(), wanted);
}

void without_a_state_of_ours_nothing_is_an_answer(Nothing&) {
  assert_string_equal(outcome(read_redirect("code=c&state=", {})).c_str(), "(no answer)");
  assert_string_equal(outcome(read_redirect("code=c", {})).c_str(), "(no answer)");
}

void too_much_is_no_answer(Nothing&) {
  const std::string good = "code=c0de&state=st4te";
  std::string many = good;
  for (int i = 0; i < 62; ++i) many += "&p" + std::to_string(i) + "=1";
  assert_string_equal(outcome(read_redirect(many, plain)).c_str(), "c0de");
  many += "&one=more";
  assert_string_equal(outcome(read_redirect(many, plain)).c_str(), "(no answer)");
  const std::string padded = good + "&x=" + std::string(8 * 1024, 'x');
  assert_string_equal(outcome(read_redirect(padded, plain)).c_str(), "(no answer)");
  const std::string code(2049, 'c');
  const std::string long_code = "state=st4te&code=" + code;
  assert_string_equal(outcome(read_redirect(long_code, plain)).c_str(), "(no answer)");
}

void an_answer_of_another_server_is_refused(Nothing&) {
  const std::string good = "code=c0de&state=st4te";
  const std::string ours = good + "&iss=https%3A%2F%2Fas.example";
  const std::string other = good + "&iss=https%3A%2F%2Fevil.example";
  const char* mixed_up =
      "(refused) the answer is of 'https://evil.example', and not of 'https://as.example', which "
      "was asked";
  for (const RedirectExpected* expected : {&known, &telling}) {
    assert_string_equal(outcome(read_redirect(ours, *expected)).c_str(), "c0de");
    assert_string_equal(outcome(read_redirect(other, *expected)).c_str(), mixed_up);
    assert_string_equal(outcome(read_redirect(ours + "%2F", *expected)).substr(0, 9).c_str(),
                        "(refused)");
  }
  assert_string_equal(outcome(read_redirect(good, known)).c_str(), "c0de");
  assert_string_equal(outcome(read_redirect(good, telling)).substr(0, 9).c_str(), "(refused)");
  assert_string_equal(outcome(read_redirect(other, plain)).c_str(), "c0de");
  // An error of another's is not believed either; nor is one that does not know the state.
  const std::string error = "error=access_denied&state=st4te&iss=https://evil.example";
  assert_string_equal(outcome(read_redirect(error, known)).c_str(), mixed_up);
  const std::string stray = "code=c0de&state=no&iss=https://evil.example";
  assert_string_equal(outcome(read_redirect(stray, known)).c_str(), "(no answer)");
}

void what_people_paste_is_understood(Nothing&) {
  struct {
    const char* text;
    const char* outcome;
  } const cases[] = {
      {"http://127.0.0.1:4711/callback?code=c0de&state=st4te", "c0de"},
      {"  http://127.0.0.1:4711/callback?code=c0de&state=st4te#_=_\r\n", "c0de"},
      {"?code=c0de&state=st4te", "c0de"},
      {"code=c0de&state=st4te", "c0de"},
      {"state=st4te&code=c0de", "c0de"},
      {"c0de#st4te", "c0de"},
      {"c0de", "c0de"},
      {"http://127.0.0.1:4711/callback?error=access_denied&state=st4te",
       "(denied) access was denied"},
      {"http://127.0.0.1:4711/callback?code=c0de&state=other", "(no answer)"},
      {"http://127.0.0.1:4711/callback?code=c0de", "(no answer)"},
      {"https://as.example/authorize", "(no answer)"},
      {"https://as.example/authorize?state=st4te", "(no answer)"},
      {"c0de#other", "(no answer)"},
      {"c0de#", "(no answer)"},
      {"#st4te", "(no answer)"},
      {"two words", "(no answer)"},
      {"", "(no answer)"},
  };
  for (const auto& [text, wanted] : cases)
    assert_string_equal(outcome(read_pasted(text, plain)).c_str(), wanted);
}

void a_bare_code_says_not_whose_it_is(Nothing&) {
  assert_string_equal(outcome(read_pasted("c0de", known)).c_str(), "c0de");
  assert_string_equal(outcome(read_pasted("c0de", telling)).c_str(), "(no answer)");
  assert_string_equal(outcome(read_pasted("c0de#st4te", telling)).c_str(), "(no answer)");
  const char* whole = "http://127.0.0.1:1/?code=c0de&state=st4te&iss=https%3A%2F%2Fas.example";
  assert_string_equal(outcome(read_pasted(whole, telling)).c_str(), "c0de");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, an_answer_is_read_by_the_book),
      MOAT_TEST(Nothing, without_a_state_of_ours_nothing_is_an_answer),
      MOAT_TEST(Nothing, too_much_is_no_answer),
      MOAT_TEST(Nothing, an_answer_of_another_server_is_refused),
      MOAT_TEST(Nothing, what_people_paste_is_understood),
      MOAT_TEST(Nothing, a_bare_code_says_not_whose_it_is),
  };
  return cmocka_run_group_tests_name("top/redirect_answer", tests, nullptr, nullptr);
}
