#include "core/timestamp.h"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/fd.h"
#include "core/text.h"
#include "moat_test.h"
#include "timestamp_answer.h"

using namespace moat;

namespace {

using test::Answer;
using test::bytes;
using test::element;
using test::operator""_sequence;

struct StampTest {
  std::string directory;
  Digest imprint = sha256("a signed note\n");
  TimestampRequest request = timestamp_request(imprint);

  StampTest() {
    const char* const base = getenv("TMPDIR");
    directory = std::string(base != nullptr ? base : "/tmp") + "/moat-stamp-XXXXXX";
    if (mkdtemp(directory.data()) == nullptr) throw std::runtime_error("mkdtemp");
  }
  ~StampTest() { (void)sh("rm -rf '" + directory + "'"); }
  StampTest(const StampTest&) = delete;
  StampTest& operator=(const StampTest&) = delete;

  static bool sh(const std::string& command) { return system(command.c_str()) == 0; }
  void put(const std::string& name, std::string_view text) const {
    if (!write_file_atomically(directory + "/" + name, text, 0600))
      throw std::runtime_error("cannot write");
  }
  // What openssl's authority answers; "" where there is no openssl.
  [[nodiscard]] std::string answer(const std::string& query) const {
    put("query", query);
    const std::string tsa = getenv("MOAT_TSA");
    if (!sh(tsa + " make " + directory + "/tsa && " + tsa + " reply " + directory + "/tsa <" +
            directory + "/query >" + directory + "/reply"))
      return {};
    const auto reply = read_file(directory + "/reply", 1 << 20);
    return reply ? *reply : std::string();
  }
};

bool have_openssl() {
  const bool there = StampTest::sh("command -v openssl >/dev/null");
  if (!there) print_message("# not tried: there is no openssl here\n");
  return there;
}

void openssls_authority_answers_what_we_ask(StampTest& t) {
  if (!have_openssl()) return;
  const int64_t before = system_clock().wall_ns();
  const std::string der = t.answer(t.request.der);
  const auto stamp = check_timestamp(der, t.request);
  if (!stamp) print_error("%s\n", stamp.error().message.c_str());
  assert_true(stamp.has_value());
  const int64_t since = stamp->time_ns - before;
  const bool now = since > -2'000'000'000 && since < 60'000'000'000;
  assert_true(now);
  t.put("note", "a signed note\n");
  const bool verified =
      StampTest::sh("cd '" + t.directory +
                    "' && openssl ts -verify -data note -in reply -CAfile tsa/root.pem "
                    ">/dev/null 2>&1");
  assert_true(verified);
}

void no_part_of_an_answer_is_an_answer(StampTest& t) {
  if (!have_openssl()) return;
  const std::string der = t.answer(t.request.der);
  assert_true(der.size() > 500);
  for (size_t size = 0; size < der.size(); ++size) {
    const bool taken = parse_timestamp(std::string_view(der).substr(0, size)).has_value();
    assert_false(taken);
  }
  const bool more = parse_timestamp(der + '\0').has_value();
  assert_false(more);
}

// What a byte means is known for the parts that are compared; of the others, nothing but that
// they do no harm.
void a_changed_answer_never_becomes_one_for_something_else(StampTest& t) {
  if (!have_openssl()) return;
  const std::string der = t.answer(t.request.der);
  for (size_t at = 0; at < der.size(); ++at) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    const auto stamp = check_timestamp(changed, t.request);
    const bool same = !stamp || (stamp->imprint == t.imprint && stamp->nonce == t.request.nonce);
    assert_true(same);
  }
}

void an_authority_that_refuses_is_quoted(StampTest& t) {
  if (have_openssl()) {
    // SHA-1, which it does not take.
    const auto refused =
        parse_timestamp(t.answer("020101"
                                 "302130090605"
                                 "2b0e03021a05000414"
                                 "0000000000000000000000000000000000000000"_sequence));
    assert_true(!refused && refused.error().code == Errc::refused);
    assert_string_equal(refused.error().message.c_str(),
                        "the time-stamping authority refuses: Message digest algorithm is not "
                        "supported.");
  }
  const auto hostile = parse_timestamp(
      element(0x30, element(0x30, bytes("020102") + element(0x30, element(0x0c, "no\x1b[2J\n")))));
  assert_true(!hostile && hostile.error().code == Errc::refused);
  const bool clean = hostile.error().message.find('\x1b') == std::string::npos;
  assert_true(clean);
  const auto silent = parse_timestamp(element(0x30, element(0x30, bytes("020103"))));
  assert_string_equal(silent.error().message.c_str(),
                      "the time-stamping authority refuses: status 3");
}

void a_well_formed_answer_is_read(StampTest&) {
  const auto stamp = parse_timestamp(Answer().der());
  assert_true(stamp.has_value());
  assert_int_equal(stamp->time_ns, 1'700'000'000'500'000'000);
  assert_string_equal(stamp->nonce.c_str(), "ABCDEFGH");
  Answer full;
  full.status = element(0x30, bytes("020101"));  // granted, with changes
  full.time = element(0x18, "20231114221320Z");
  full.more = element(0x30, bytes("020101")) + bytes("0101ff");
  full.nonce.clear();
  full.end = element(0xa0, "") + element(0xa1, "");
  full.certificates = element(0xa0, "x") + element(0xa1, "y");
  full.algorithm = element(0x30, bytes("0609608648016503040201"));
  const auto other = parse_timestamp(full.der());
  assert_true(other.has_value());
  assert_true(other->nonce.empty());
  assert_int_equal(other->time_ns, 1'700'000'000'000'000'000);
}

void what_is_wrong_in_an_answer_is_refused(StampTest&) {
  struct Case {
    std::string Answer::*part;
    std::string value;
    const char* message;
  };
  const std::string one = bytes("020101");
  const Case cases[] = {
      {&Answer::status, "", "it has no status"},
      {&Answer::status, element(0x30, ""), "it has no status"},
      {&Answer::status, element(0x30, bytes("02020000")), "it has no status"},
      {&Answer::token_type, bytes("06092a864886f70d010701"), "its token is not SignedData"},
      {&Answer::info_type, bytes("060b2a864886f70d0109100105"), "what is signed is no TSTInfo"},
      {&Answer::version, bytes("020102"), "its version is not 1"},
      {&Answer::policy, "", "it names no policy"},
      {&Answer::algorithm, element(0x30, bytes("06052b0e03021a0500")),
       "its imprint is not by SHA-256"},
      {&Answer::algorithm, "06096086480165030402010500020101"_sequence, "its imprint is malformed"},
      {&Answer::imprint, std::string(31, 'i'), "its imprint is malformed"},
      {&Answer::imprint, std::string(33, 'i'), "its imprint is malformed"},
      {&Answer::serial, "", "it has no serial number"},
      {&Answer::time, "", "it has no time"},
      {&Answer::time, element(0x18, "20231114221320"), "it has no time"},
      {&Answer::time, element(0x18, "20231314221320Z"), "it has no time"},
      {&Answer::time, element(0x18, "2023111422132Z"), "it has no time"},
      {&Answer::time, element(0x18, "20231114221320.Z"), "it has no time"},
      {&Answer::time, element(0x18, "20231114221320+0100Z"), "it has no time"},
      {&Answer::time, element(0x18, "2023-114221320Z"), "it has no time"},
      {&Answer::end, one, "its TSTInfo does not end as such"},
      {&Answer::signers, "", "its SignedData does not end as such"},
      {&Answer::signers, element(0x31, ""), "it is not signed by one signer"},
      {&Answer::signers, element(0x31, element(0x30, "") + element(0x30, "")),
       "it is not signed by one signer"},
      {&Answer::after_info, one, "what is signed is no TSTInfo"},
      {&Answer::after_octets, one, "what is signed is not there"},
      {&Answer::after_data, one, "its SignedData does not end as such"},
      {&Answer::after_content, one, "its token has no content"},
      {&Answer::after_token, one, "it has no token"},
      {&Answer::after, one, "it is not one DER sequence"},
  };
  for (const Case& wrong : cases) {
    Answer answer;
    answer.*wrong.part = wrong.value;
    const auto stamp = parse_timestamp(answer.der());
    assert_false(stamp.has_value());
    const std::string expected =
        std::string("the answer is no time stamp of RFC 3161: ") + wrong.message;
    assert_string_equal(stamp.error().message.c_str(), expected.c_str());
  }
  for (const char* garbage : {"", "<html>502</html>", "\x30\x84\xff\xff\xff\xff", "\x30\x80"}) {
    const bool taken = parse_timestamp(garbage).has_value();
    assert_false(taken);
  }
}

void an_answer_to_another_request_is_refused(StampTest& t) {
  Answer answer;
  answer.imprint = std::string(view(t.imprint));
  answer.nonce = element(2, t.request.nonce);
  const bool ours = check_timestamp(answer.der(), t.request).has_value();
  assert_true(ours);

  Answer other = answer;
  other.imprint[31] = static_cast<char>(other.imprint[31] ^ 1);
  const auto something_else = check_timestamp(other.der(), t.request);
  assert_true(!something_else && something_else.error().code == Errc::tampered);
  assert_string_equal(something_else.error().message.c_str(),
                      "the time stamp is over something else");
  for (const std::string& nonce : {std::string(), bytes("020101"), element(2, "ABCDEFGH")}) {
    Answer replay = answer;
    replay.nonce = nonce;
    const auto stamp = check_timestamp(replay.der(), t.request);
    assert_true(!stamp && stamp.error().code == Errc::tampered);
    const bool kept = check_timestamp(replay.der(), t.imprint).has_value();
    assert_true(kept);
  }
}

void each_request_has_its_own_nonce(StampTest& t) {
  const auto again = timestamp_request(t.imprint);
  const bool differ = again.nonce != t.request.nonce && again.der.size() == t.request.der.size();
  assert_true(differ);
  assert_int_equal(again.nonce.size(), 8);
  for (int i = 0; i < 1000; ++i) {
    const unsigned char first = static_cast<unsigned char>(timestamp_request(t.imprint).nonce[0]);
    assert_in_range(first, 0x40, 0x7f);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(StampTest, openssls_authority_answers_what_we_ask),
      MOAT_TEST(StampTest, no_part_of_an_answer_is_an_answer),
      MOAT_TEST(StampTest, a_changed_answer_never_becomes_one_for_something_else),
      MOAT_TEST(StampTest, an_authority_that_refuses_is_quoted),
      MOAT_TEST(StampTest, a_well_formed_answer_is_read),
      MOAT_TEST(StampTest, what_is_wrong_in_an_answer_is_refused),
      MOAT_TEST(StampTest, an_answer_to_another_request_is_refused),
      MOAT_TEST(StampTest, each_request_has_its_own_nonce),
  };
  return cmocka_run_group_tests_name("core/timestamp", tests, nullptr, nullptr);
}
