#include "store/private_file.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "core/fd.h"
#include "fixture.h"
#include "moat_test.h"

namespace {

using moat::Errc;
using moat::test::need;
using namespace moat::store;

struct PrivateFileTest {
  moat::test::TempDir temp;
  std::string path = temp.path + "/file";

  size_t entries() {
    const moat::Handle<DIR, closedir> directory(opendir(temp.path.c_str()));
    size_t count = 0;
    while (readdir(directory.get()) != nullptr) ++count;
    return count - 2;
  }
};

void a_file_is_made_once_and_whole(PrivateFileTest& t) {
  const bool first = need(create_file(t.path, "one", 0600));
  const bool second = need(create_file(t.path, "two", 0600));
  assert_true(first);
  assert_false(second);
  const bool kept = need(read_private_file(t.path, 100)).equals("one");
  assert_true(kept);
  assert_int_equal(t.entries(), 1);
}

void a_link_in_the_way_is_not_written_through(PrivateFileTest& t) {
  assert_int_equal(symlink((t.temp.path + "/elsewhere").c_str(), t.path.c_str()), 0);
  const bool made = need(create_file(t.path, "one", 0600));
  assert_false(made);
  assert_int_not_equal(access((t.temp.path + "/elsewhere").c_str(), F_OK), 0);
}

void the_limit_holds(PrivateFileTest& t) {
  need(create_file(t.path, "four", 0600));
  const bool fits = read_private_file(t.path, 4).has_value();
  assert_true(fits);
  const auto over = read_private_file(t.path, 3);
  const bool told = !over && over.error().code == Errc::too_large;
  assert_true(told);
}

void directories_are_made_with_those_that_lead_to_them(PrivateFileTest& t) {
  need(make_private_directory(t.temp.path + "/a/b/c"));
  struct stat info {};
  assert_int_equal(stat((t.temp.path + "/a/b/c").c_str(), &info), 0);
  assert_int_equal(info.st_mode & 07777, 0700);
  need(make_private_directory(t.temp.path + "/a/b/c"));
}

void a_file_is_no_directory(PrivateFileTest& t) {
  need(create_file(t.path, "", 0600));
  const bool as_one = make_private_directory(t.path).has_value();
  const bool under = make_private_directory(t.path + "/inner").has_value();
  assert_false(as_one || under);
}

void a_directory_that_cannot_be_written_to_is_told(PrivateFileTest& t) {
  const auto made = create_file(t.temp.path + "/none/file", "x", 0600);
  const bool told = !made && made.error().code == Errc::not_found;
  assert_true(told);
}

void removing_what_is_not_there_is_told(PrivateFileTest& t) {
  need(create_file(t.path, "x", 0600));
  need(remove_file(t.path));
  const auto again = remove_file(t.path);
  const bool told = !again && again.error().code == Errc::not_found;
  assert_true(told);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(PrivateFileTest, a_file_is_made_once_and_whole),
      MOAT_TEST(PrivateFileTest, a_link_in_the_way_is_not_written_through),
      MOAT_TEST(PrivateFileTest, the_limit_holds),
      MOAT_TEST(PrivateFileTest, directories_are_made_with_those_that_lead_to_them),
      MOAT_TEST(PrivateFileTest, a_file_is_no_directory),
      MOAT_TEST(PrivateFileTest, a_directory_that_cannot_be_written_to_is_told),
      MOAT_TEST(PrivateFileTest, removing_what_is_not_there_is_told),
  };
  return cmocka_run_group_tests_name("store/private_file", tests, nullptr, nullptr);
}
