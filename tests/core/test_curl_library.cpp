#include "core/curl_library.h"

#include <fstream>
#include <string>

#include "core/fetch.h"
#include "moat_test.h"

namespace moat::test {
namespace {

struct CurlTest {
  Loop loop;
  Fetcher fetcher{loop};
  Result<void> loaded;
  std::string line;

  bool is_mapped() {
    std::ifstream maps("/proc/self/maps");
    while (std::getline(maps, line)) {
      if (line.find("libcurl") != std::string::npos) return true;
    }
    return false;
  }
};

// The order counts: what is loaded stays.
void a_fetcher_that_fetches_nothing_does_not_load_it(CurlTest& t) {
  t.loop.turn(Milliseconds(1));
  assert_false(t.is_mapped());
}

void it_is_loaded_once_and_works(CurlTest& t) {
  t.loaded = load_curl();
  assert_true(t.loaded.has_value());
  assert_true(t.is_mapped());
  const CurlLibrary* first = &curl();
  t.loaded = load_curl();
  assert_true(t.loaded.has_value());
  assert_ptr_equal(first, &curl());
  assert_non_null(curl().version_info(CURLVERSION_NOW));
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(CurlTest, a_fetcher_that_fetches_nothing_does_not_load_it),
      MOAT_TEST(CurlTest, it_is_loaded_once_and_works),
  };
  return cmocka_run_group_tests_name("core/curl_library", tests, nullptr, nullptr);
}
