#include "listening.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "core/unix_socket.h"
#include "temp_home.h"

#include "moat_test.h"

using namespace moat;

namespace {

struct ListeningTest {
  test::TempDirectory directory;
  std::string path = directory.at("s.sock");

  [[nodiscard]] Result<Listening> open(const std::string& text) const {
    const auto place = parse_listen(text);
    if (!place) return place.error();
    return Listening::open(*place);
  }
  [[nodiscard]] std::string refusal(const std::string& text) const {
    const auto listening = open(text);
    return listening ? "" : listening.error().message;
  }
};

void places_are_read_as_people_write_them(ListeningTest&) {
  auto place = parse_listen("127.0.0.1:8080");
  assert_true(place && place->address);
  assert_string_equal(place->address->text().c_str(), "127.0.0.1:8080");
  place = parse_listen("[::1]:0");
  assert_true(place && place->address);
  assert_string_equal(place->address->text().c_str(), "[::1]:0");
  place = parse_listen("unix:/run/x.sock");
  assert_true(place && !place->address);
  assert_string_equal(place->path.c_str(), "/run/x.sock");
  for (const char* text :
       {"", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "[127.0.0.1]:80",
        "localhost:80", "[::1]", "unix:", "unix:/tmp/", "127.0.0.1:+80"}) {
    const auto bad = parse_listen(text);
    if (bad) print_error("taken: '%s'\n", text);
    assert_false(bad.has_value());
    assert_true(bad.error().message.starts_with("--listen: "));
  }
}

void only_this_machine_is_private(ListeningTest&) {
  for (const char* text :
       {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/x"})
    assert_true(parse_listen(text)->is_private());
  for (const char* text :
       {"0.0.0.0:1", "[::]:1", "192.0.2.7:1", "[fe80::1]:1", "128.0.0.1:1", "[::ffff:192.0.2.1]:1"})
    assert_false(parse_listen(text)->is_private());
}

void port_0_picks_one_and_a_taken_one_is_told(ListeningTest& t) {
  auto listening = t.open("127.0.0.1:0");
  assert_true(listening.has_value());
  assert_true(listening->begin().has_value());
  assert_true(listening->name().starts_with("127.0.0.1:"));
  assert_true(listening->name() != "127.0.0.1:0");
  const auto again = t.open(listening->name());
  assert_false(again.has_value());
  assert_int_equal(again.error().code, Errc::busy);
  assert_true(again.error().message.find(listening->name()) != std::string::npos);
}

void of_two_that_are_bound_one_listens(ListeningTest& t) {
  auto first = t.open("127.0.0.1:0");
  assert_true(first.has_value());
  auto second = t.open(first->name());
  assert_true(second.has_value());
  assert_true(second->begin().has_value());
  const auto late = first->begin();
  assert_false(late.has_value());
  assert_int_equal(late.error().code, Errc::busy);
}

void a_unix_socket_is_ours_alone_and_leaves_with_us(ListeningTest& t) {
  {
    auto listening = t.open("unix:" + t.path);
    assert_true(listening.has_value());
    struct stat info {};
    assert_int_equal(lstat(t.path.c_str(), &info), 0);
    assert_true(S_ISSOCK(info.st_mode));
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_true(listening->is_private());
    assert_true(connect_unix(t.directory.path, "s.sock").has_value());
    const Listening moved = std::move(*listening);
    assert_string_equal(moved.name().c_str(), ("unix:" + t.path).c_str());
  }
  assert_int_equal(access(t.path.c_str(), F_OK), -1);
}

void a_socket_that_somebody_listens_on_stays(ListeningTest& t) {
  const auto first = t.open("unix:" + t.path);
  assert_true(first.has_value());
  assert_true(t.refusal("unix:" + t.path).find("another program listens") != std::string::npos);
  assert_true(connect_unix(t.directory.path, "s.sock").has_value());
}

void a_socket_that_was_left_is_replaced(ListeningTest& t) {
  assert_true(listen_unix(t.directory.path, "s.sock", 1).has_value());  // and closed
  assert_true(t.open("unix:" + t.path).has_value());
}

void a_file_is_never_removed(ListeningTest& t) {
  t.directory.write("s.sock", "precious");
  assert_true(t.refusal("unix:" + t.path).find("no socket of yours") != std::string::npos);
  std::filesystem::remove(t.path);
  t.directory.write("other", "precious");
  std::filesystem::create_symlink(t.directory.at("other"), t.path);
  assert_true(t.refusal("unix:" + t.path).find("no socket of yours") != std::string::npos);
  assert_true(std::filesystem::exists(t.directory.at("other")));
}

void what_took_its_place_is_not_removed(ListeningTest& t) {
  {
    const auto listening = t.open("unix:" + t.path);
    assert_true(listening.has_value());
    std::filesystem::rename(t.path, t.directory.at("moved"));
    t.directory.write("s.sock", "somebody else's");
  }
  assert_true(std::filesystem::exists(t.path));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ListeningTest, places_are_read_as_people_write_them),
      MOAT_TEST(ListeningTest, only_this_machine_is_private),
      MOAT_TEST(ListeningTest, port_0_picks_one_and_a_taken_one_is_told),
      MOAT_TEST(ListeningTest, of_two_that_are_bound_one_listens),
      MOAT_TEST(ListeningTest, a_unix_socket_is_ours_alone_and_leaves_with_us),
      MOAT_TEST(ListeningTest, a_socket_that_somebody_listens_on_stays),
      MOAT_TEST(ListeningTest, a_socket_that_was_left_is_replaced),
      MOAT_TEST(ListeningTest, a_file_is_never_removed),
      MOAT_TEST(ListeningTest, what_took_its_place_is_not_removed),
  };
  return cmocka_run_group_tests_name("top/listening", tests, nullptr, nullptr);
}
