#include "core/fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "moat_test.h"

namespace moat::test {
namespace {

namespace fs = std::filesystem;

bool is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

struct FdTest {
  std::string directory = fs::temp_directory_path() / "moat-fd-XXXXXX";
  Fd one;
  Fd two;
  Result<FdPair> pair = Error{};
  Result<std::string> text = Error{};
  Result<void> result = Error{};
  std::string path;
  std::string big;

  FdTest() {
    if (mkdtemp(directory.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path = directory + "/file";
  }
  ~FdTest() { fs::remove_all(directory); }

  [[nodiscard]] size_t entries() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
  }
};

void a_descriptor_is_closed_with_its_owner(FdTest& t) {
  t.one = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = t.one.get();
  assert_true(is_open(number));
  t.one.reset();
  assert_false(is_open(number));
  t.one.reset();  // twice is safe
}

void moving_hands_the_descriptor_over(FdTest& t) {
  t.one = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = t.one.get();
  t.two = std::move(t.one);
  assert_int_equal(t.two.get(), number);
  assert_true(is_open(number));
  const int released = t.two.release();
  t.two.reset();
  assert_true(is_open(released));
  close(released);
}

void closing_keeps_errno(FdTest& t) {
  t.one = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  errno = ENOSPC;
  t.one.reset();
  assert_int_equal(errno, ENOSPC);
}

void pipes_and_pairs_are_born_close_on_exec(FdTest& t) {
  t.pair = make_pipe(true);
  assert_true(t.pair.has_value());
  assert_true((fcntl(t.pair->first.get(), F_GETFD) & FD_CLOEXEC) != 0);
  assert_true((fcntl(t.pair->second.get(), F_GETFL) & O_NONBLOCK) != 0);
  t.pair = make_socket_pair(SOCK_STREAM);
  assert_true(t.pair.has_value());
  assert_true((fcntl(t.pair->first.get(), F_GETFD) & FD_CLOEXEC) != 0);
  assert_true((fcntl(t.pair->first.get(), F_GETFL) & O_NONBLOCK) != 0);
  t.result = set_non_blocking(t.pair->first.get(), false);
  assert_true(t.result.has_value());
  assert_false((fcntl(t.pair->first.get(), F_GETFL) & O_NONBLOCK) != 0);
}

void what_is_written_is_read_back_with_the_mode_asked_for(FdTest& t) {
  t.result = write_file_atomically(t.path, std::string_view("a\0b", 3), 0600);
  assert_true(t.result.has_value());
  t.text = read_file(t.path, 3);
  assert_true(t.text.has_value());
  assert_true(*t.text == std::string_view("a\0b", 3));
  struct stat info {};
  assert_int_equal(stat(t.path.c_str(), &info), 0);
  assert_int_equal(info.st_mode & 07777, 0600);
  assert_int_equal(t.entries(), 1);  // no draft is left
}

void a_file_over_the_limit_is_refused(FdTest& t) {
  t.result = write_file_atomically(t.path, "12345", 0600);
  t.text = read_file(t.path, 4);
  assert_false(t.text.has_value());
  assert_int_equal(t.text.error().code, Errc::too_large);
  t.text = read_file("/dev/zero", 1000);  // one that says it has no size
  assert_int_equal(t.text.error().code, Errc::too_large);
}

void what_is_missing_or_a_directory_is_said(FdTest& t) {
  t.text = read_file(t.directory + "/nothing", 10);
  assert_int_equal(t.text.error().code, Errc::not_found);
  t.text = read_file(t.directory, 10);
  assert_int_equal(t.text.error().code, Errc::invalid);
}

void a_fifo_in_place_of_a_file_does_not_hang_the_reader(FdTest& t) {
  assert_int_equal(mkfifo(t.path.c_str(), 0600), 0);
  t.text = read_file(t.path, 10);
  assert_true(t.text.has_value());
  assert_true(t.text->empty());
}

void a_failed_write_leaves_the_old_file_and_no_draft(FdTest& t) {
  t.result = write_file_atomically(t.path, "old", 0600);
  // A directory in the way makes the rename fail, after everything else has gone well.
  fs::create_directory(t.directory + "/sub");
  fs::create_directory(t.directory + "/sub/in");
  t.result = write_file_atomically(t.directory + "/sub", "new", 0600);
  assert_false(t.result.has_value());
  assert_int_equal(t.entries(), 2);
  t.result = write_file_atomically(t.directory + "/none/file", "new", 0600);
  assert_int_equal(t.result.error().code, Errc::not_found);
}

void a_full_disk_is_an_error_that_says_so(FdTest& t) {
  t.one = Fd(open("/dev/full", O_WRONLY | O_CLOEXEC));
  if (!t.one) return;
  t.result = write_all(t.one.get(), "x");
  assert_int_equal(t.result.error().code, Errc::full);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(FdTest, a_descriptor_is_closed_with_its_owner),
      MOAT_TEST(FdTest, moving_hands_the_descriptor_over),
      MOAT_TEST(FdTest, closing_keeps_errno),
      MOAT_TEST(FdTest, pipes_and_pairs_are_born_close_on_exec),
      MOAT_TEST(FdTest, what_is_written_is_read_back_with_the_mode_asked_for),
      MOAT_TEST(FdTest, a_file_over_the_limit_is_refused),
      MOAT_TEST(FdTest, what_is_missing_or_a_directory_is_said),
      MOAT_TEST(FdTest, a_fifo_in_place_of_a_file_does_not_hang_the_reader),
      MOAT_TEST(FdTest, a_failed_write_leaves_the_old_file_and_no_draft),
      MOAT_TEST(FdTest, a_full_disk_is_an_error_that_says_so),
  };
  return cmocka_run_group_tests_name("core/fd", tests, nullptr, nullptr);
}
