#include "store/distrust.h"

#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <iterator>

namespace moat::store {
namespace {

const char* volatile being_read = nullptr;

[[noreturn]] void leave_damaged() {
  char start[] = "moat: cannot read ";
  char end[] =
      ": it is damaged, or not a record of moat (a page leads nowhere); "
      "move its directory away to do without it\n";
  char* const path = const_cast<char*>(being_read);
  const iovec words[] = {{start, sizeof start - 1}, {path, strlen(path)}, {end, sizeof end - 1}};
  [[maybe_unused]] const ssize_t said = writev(STDERR_FILENO, words, std::size(words));
  _exit(1);
}

struct sigaction before_segv;
struct sigaction before_bus;

extern "C" void on_bad_address(int number) {
  if (being_read != nullptr) leave_damaged();
  // It is no file's fault: the same instruction is tried again, and meets who was there before.
  sigaction(number, number == SIGSEGV ? &before_segv : &before_bus, nullptr);
}

bool watch() {
  struct sigaction action {};
  action.sa_handler = on_bad_address;
  return sigaction(SIGSEGV, &action, &before_segv) == 0 &&
         sigaction(SIGBUS, &action, &before_bus) == 0;
}

}  // namespace

Distrust::Distrust(const std::string& path, bool really) : before_(being_read) {
  static const bool watched = watch();
  if (watched && really) being_read = path.c_str();
}

Distrust::~Distrust() {
  being_read = before_;
}

void Distrust::on_assertion(MDB_env* /*env*/, const char* /*message*/) {
  if (being_read != nullptr) leave_damaged();
}

}  // namespace moat::store
