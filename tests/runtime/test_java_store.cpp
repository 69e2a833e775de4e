#include "runtime/java_store.h"

#include <string>

#include "core/crypto.h"
#include "core/text.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;
using namespace moat::test;

namespace {

std::string block(std::string_view der) {
  return "-----BEGIN CERTIFICATE-----\n" + base64(der) + "\n-----END CERTIFICATE-----\n";
}

// keytool reads one in the end-to-end suite; here is that the bytes are those of its format.
void a_store_holds_each_certificate_and_its_digest(Nothing&) {
  const auto store = java_trust_store(block("first") + "words between\n" + block("second"));
  const bool made = store.has_value();
  assert_true(made);
  const std::string head("\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x02", 12);
  const std::string entry(
      "\0\0\0\x02\0\x06moat-0\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x05"
      "first",
      36);
  const bool begins = store->compare(0, head.size(), head) == 0 &&
                      store->compare(head.size(), entry.size(), entry) == 0;
  assert_true(begins);
  const std::string body = store->substr(0, store->size() - 20);
  const std::string words("\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite", 32);
  const bool digested = store->substr(body.size()) == sha1({words, body});
  assert_true(digested);
}

void what_is_no_certificate_is_refused(Nothing&) {
  const bool no_end = !java_trust_store("-----BEGIN CERTIFICATE-----\nAAAA");
  assert_true(no_end);
  const bool no_base64 =
      !java_trust_store("-----BEGIN CERTIFICATE-----\n****\n-----END CERTIFICATE-----\n");
  assert_true(no_base64);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, a_store_holds_each_certificate_and_its_digest),
      MOAT_TEST(Nothing, what_is_no_certificate_is_refused),
  };
  return cmocka_run_group_tests_name("runtime/java_store", tests, nullptr, nullptr);
}
