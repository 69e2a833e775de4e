#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "paths.h"
#include "temp_home.h"

#include "moat_test.h"

using namespace moat;

namespace {

struct PathsTest {
  test::TempDirectory directory;

  // What open_home() says when MOAT_HOME is this.
  static std::string open_at(const std::string& path) {
    setenv("MOAT_HOME", path.c_str(), 1);
    const auto home = open_home();
    return home ? home->root : "error: " + home.error().message;
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void a_home_is_made_private_with_its_parents(PathsTest& t) {
  const bool made = PathsTest::open_at(t.directory.at("a/b")) == t.directory.at("a/b");
  assert_true(made);
  struct stat info {};
  assert_int_equal(stat(t.directory.at("a/b/runs").c_str(), &info), 0);
  assert_int_equal(info.st_mode & 07777, 0700);
  assert_int_equal(stat(t.directory.at("a/b").c_str(), &info), 0);
  assert_int_equal(info.st_mode & 07777, 0700);
}

void a_home_open_to_others_is_refused_with_the_remedy(PathsTest& t) {
  t.directory.make("open");
  chmod(t.directory.at("open").c_str(), 0750);
  const bool told = has(PathsTest::open_at(t.directory.at("open")),
                        "is open to others (mode 0750); close it: chmod 700 ");
  assert_true(told);
}

void a_home_of_somebody_else_is_refused(PathsTest& t) {
  if (geteuid() != 0) return;  // only root can give a directory away
  t.directory.make("theirs");
  assert_int_equal(chown(t.directory.at("theirs").c_str(), 12345, 12345), 0);
  const bool told =
      has(PathsTest::open_at(t.directory.at("theirs")), "belongs to somebody else (uid 12345)");
  assert_true(told);
}

void a_home_that_is_a_file_is_refused(PathsTest& t) {
  t.directory.write("file", "");
  const bool told = has(PathsTest::open_at(t.directory.at("file")), "is not a directory");
  assert_true(told);
  const bool below = has(PathsTest::open_at(t.directory.at("file/x")), "cannot make");
  assert_true(below);
}

void a_relative_home_is_refused(PathsTest&) {
  const bool told = has(PathsTest::open_at("here"), "which is not an absolute path");
  assert_true(told);
}

void real_paths_go_as_far_as_there_is_something(PathsTest& t) {
  t.directory.make("real");
  assert_int_equal(symlink(t.directory.at("real").c_str(), t.directory.at("link").c_str()), 0);
  const bool whole = real_path(t.directory.at("link")) == t.directory.at("real");
  assert_true(whole);
  const bool part = real_path(t.directory.at("link/no/such")) == t.directory.at("real/no/such");
  assert_true(part);
  const bool root = real_path("/") == "/";
  assert_true(root);
  const bool nothing = real_path("/no-such-thing") == "/no-such-thing";
  assert_true(nothing);
}

void inside_means_whole_names(PathsTest&) {
  assert_true(is_inside("/a/b", "/a"));
  assert_true(is_inside("/a", "/a"));
  assert_true(is_inside("/a", "/"));
  assert_false(is_inside("/ab", "/a"));
  assert_false(is_inside("/", "/a"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(PathsTest, a_home_is_made_private_with_its_parents),
      MOAT_TEST(PathsTest, a_home_open_to_others_is_refused_with_the_remedy),
      MOAT_TEST(PathsTest, a_home_of_somebody_else_is_refused),
      MOAT_TEST(PathsTest, a_home_that_is_a_file_is_refused),
      MOAT_TEST(PathsTest, a_relative_home_is_refused),
      MOAT_TEST(PathsTest, real_paths_go_as_far_as_there_is_something),
      MOAT_TEST(PathsTest, inside_means_whole_names),
  };
  return cmocka_run_group_tests_name("top/paths", tests, nullptr, nullptr);
}
