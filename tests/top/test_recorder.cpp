#include "recorder.h"

#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/text.h"
#include "store/record.h"

#include "moat_test.h"
#include "temp_home.h"

using namespace moat;

namespace {

const char* const secret = "s3cret/Token+0123456789abcdef";

struct RecorderTest {
  test::TempDirectory directory;
  Loop loop;
  SigningKey key = [] {
    auto made = SigningKey::generate();
    if (!made) throw std::runtime_error(made.error().message);
    return std::move(*made);
  }();
  std::string broken;
  std::optional<Recorder> recorder;

  RecorderTest() {
    auto writer = store::RecordWriter::create(directory.path, "0123456789ab", key);
    if (!writer) throw std::runtime_error(writer.error().message);
    recorder.emplace(loop, system_clock(), std::move(*writer),
                     [this](const Error& error) { broken = error.message; });
    recorder->keep_out(secret);
    recorder->audit("run.created", Json::object());
  }

  // All that was recorded, as JSON texts of "data". Ends the recorder.
  std::vector<std::string> data_of(const std::string& type) {
    recorder->audit("run.ended", Json::object());
    (void)recorder->finish();
    recorder.reset();
    auto reader = store::RecordReader::open(directory.path);
    if (!reader) throw std::runtime_error(reader.error().message);
    auto records = (*reader)->audit(0, 10'000);
    if (!records) throw std::runtime_error(records.error().message);
    std::vector<std::string> found;
    for (const auto& record : *records)
      if (record.json.find("\"type\":\"" + type + "\"") != std::string::npos)
        found.emplace_back(record.data());
    return found;
  }
};

proxy::Snippet body_of(const std::string& bytes) {
  proxy::Snippet body;
  body.begin({{"Content-Type", "text/plain"}});
  body.add(bytes);
  return body;
}

void bodies_that_are_text_are_kept(RecorderTest& t) {
  proxy::Exchange with;
  with.method = "POST";
  with.request_headers = {{"Content-Type", "application/json"}};
  with.request_body = body_of("{\"a\": \"\xff\"}");
  with.response_body = body_of(std::string(9000, 'x'));
  t.recorder->exchange(with);
  t.recorder->exchange(proxy::Exchange());
  const auto data = t.data_of("exchange");
  assert_int_equal(data.size(), 2);
  const auto first = Json::parse(data[0]);
  const std::string request = (*first)["request_body"].string();
  assert_string_equal(request.c_str(), "{\"a\": \"\xef\xbf\xbd\"}");
  assert_false((*first)["request_body_cut"].boolean(true));
  assert_int_equal((*first)["response_body"].string().size(), 8192);
  assert_true((*first)["response_body_cut"].boolean());
  const std::string canonical = first->canonical();
  assert_string_equal(canonical.c_str(), data[0].c_str());
  const auto second = Json::parse(data[1]);
  for (const char* member :
       {"request_body", "request_body_cut", "response_body", "response_body_cut"})
    assert_false((*second)[member].exists());
}

void a_secret_is_kept_out_of_bodies_even_where_they_are_cut(RecorderTest& t) {
  const std::string word(secret);
  for (size_t kept = 1; kept <= word.size(); ++kept) {
    proxy::Exchange exchange;
    exchange.request_body = body_of("value=" + word + "&");
    exchange.response_body = body_of(std::string(8192 - kept, 'x') + word + "yz");
    t.recorder->exchange(std::move(exchange));
  }
  for (const std::string& data : t.data_of("exchange")) {
    const auto json = Json::parse(data);
    const std::string request = (*json)["request_body"].string();
    assert_string_equal(request.c_str(), "value=*****************************&");
    const std::string response = (*json)["response_body"].string();
    assert_true(response.find_first_not_of("x*") == std::string::npos);
    assert_true(response.size() > 8100);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(RecorderTest, bodies_that_are_text_are_kept),
      MOAT_TEST(RecorderTest, a_secret_is_kept_out_of_bodies_even_where_they_are_cut),
  };
  return cmocka_run_group_tests_name("top/recorder", tests, nullptr, nullptr);
}
