#include "aws_keeper.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "moat_test.h"

using namespace moat;

namespace {

constexpr int64_t second = 1'000'000'000;

struct MovableClock final : Clock {
  [[nodiscard]] int64_t wall_ns() const override { return now; }
  [[nodiscard]] int64_t monotonic_ns() const override { return now; }
  int64_t now = 1'000'000 * second;
};

struct AwsKeeperTest {
  Loop loop;
  MovableClock clock;
  std::shared_ptr<proxy::AwsSigner> signer;
  std::vector<std::function<void(Result<TemporaryAwsKeys>)>> asked;
  std::optional<AwsKeeper> keeper;

  void begin(int64_t expires_in = 0) {
    keeper.emplace(
        loop, signer, "no role", [this](auto done) { asked.push_back(std::move(done)); },
        expires_in == 0 ? 0 : clock.now + expires_in, clock);
  }
  void turns() {
    for (int i = 0; i < 10; i++) loop.turn(Milliseconds(2));
  }
  void answer(const char* key, int64_t good_for) {
    asked.back()(TemporaryAwsKeys{{key, Secret("s"), Secret("t")}, clock.now + good_for});
    turns();
  }
  // "" where there are keys, "waits", or why there are none.
  std::string state() {
    proxy::RequestHead head;
    head.method = "GET";
    head.path = "/";
    head.authority = "s3.amazonaws.com";
    head.headers = {{"X-Amz-Date", "20300101T000000Z"}};
    proxy::AwsSignature signature;
    signature.scope = {"20300101", "us-east-1", "s3"};
    signature.time = "20300101T000000Z";
    signature.signed_headers = {"host", "x-amz-date"};
    const proxy::AwsKeys placeholder{"AKID", Secret(), Secret()};
    if (!sign_anew(head, signature, {}, placeholder, proxy::unsigned_payload)) return "?";
    head.headers.push_back({"X-Amz-Content-Sha256", std::string(proxy::unsigned_payload)});
    auto begun = signer->begin("https", head.authority, head, {});
    if (!begun) return begun.error().message;
    std::string outcome = "waits";
    (*begun)->check([&outcome](const Result<void>& checked) {
      outcome = checked ? "" : checked.error().message;
    });
    return outcome;
  }
  AwsKeeperTest() {
    proxy::AwsSignerSettings settings;
    settings.placeholder.access_key = "AKID";
    signer = std::make_shared<proxy::AwsSigner>(std::move(settings));
  }
};

void keys_are_asked_for_at_once_and_before_they_end(AwsKeeperTest& t) {
  t.begin();
  t.turns();
  assert_int_equal(t.asked.size(), 1);
  t.answer("ASIA1", 3600 * second);
  assert_string_equal(t.state().c_str(), "");
  assert_int_equal(t.asked.size(), 1);
  t.clock.now += 3299 * second;
  t.keeper.reset();
  t.begin(301 * second);  // as one that had them already: due in a second
  t.turns();
  assert_int_equal(t.asked.size(), 1);
  t.keeper.reset();
  t.clock.now += 2 * second;
  t.begin();
  t.turns();
  assert_int_equal(t.asked.size(), 2);
}

void a_failure_is_told_where_no_good_keys_are_left(AwsKeeperTest& t) {
  t.begin();
  t.turns();
  t.asked.back()(error(Errc::refused, "the service says no"));
  t.turns();
  assert_string_equal(t.state().c_str(), "no role: the service says no");
}

void keys_that_have_ended_already_are_none(AwsKeeperTest& t) {
  t.begin();
  t.turns();
  t.answer("ASIA1", -second);
  assert_string_equal(t.state().c_str(), "no role: the new keys have expired");
}

void good_keys_outlive_a_failure(AwsKeeperTest& t) {
  t.signer->set_keys({"ASIA0", Secret("s"), Secret("t")});
  t.begin(2 * second);
  t.clock.now += second;
  t.turns();
  if (t.asked.empty()) {
    t.loop.turn(Milliseconds(1100));
    t.turns();
  }
  assert_int_equal(t.asked.size(), 1);
  t.asked.back()(error(Errc::timeout, "too late"));
  t.turns();
  assert_string_equal(t.state().c_str(), "");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AwsKeeperTest, keys_are_asked_for_at_once_and_before_they_end),
      MOAT_TEST(AwsKeeperTest, a_failure_is_told_where_no_good_keys_are_left),
      MOAT_TEST(AwsKeeperTest, keys_that_have_ended_already_are_none),
      MOAT_TEST(AwsKeeperTest, good_keys_outlive_a_failure),
  };
  return cmocka_run_group_tests_name("top/aws_keeper", tests, nullptr, nullptr);
}
