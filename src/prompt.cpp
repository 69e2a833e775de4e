#include "prompt.h"

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "core/fd.h"
#include "core/text.h"
#include "print.h"

namespace moat {
namespace {

constexpr size_t max_answer = 1024;

volatile sig_atomic_t caught = 0;

bool questions_allowed() {
  const char* const forbidden = getenv("MOAT_NO_PROMPT");
  return forbidden == nullptr || *forbidden == '\0';
}

// A terminal that does not show what is typed. Signals that would end the process are let in only
// while it waits for input, and then noted.
class Unseen {
 public:
  explicit Unseen(int fd) : fd_(fd) {
    caught = 0;
    struct sigaction note {};
    note.sa_handler = [](int number) { caught = number; };  // and read(2) ends
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < ending.size(); ++i) {
      sigaddset(&blocked, ending[i]);
      sigaction(ending[i], &note, &before_[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, &mask_);
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;  // stopped in the middle, it would leave the terminal so
    sigaction(SIGTSTP, &ignore, &stop_before_);
    works_ = tcgetattr(fd_, &shown_) == 0;
    if (!works_) return;
    termios hidden = shown_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK | ECHONL);
    works_ = tcsetattr(fd_, TCSAFLUSH, &hidden) == 0;
  }
  ~Unseen() {
    if (works_) tcsetattr(fd_, TCSAFLUSH, &shown_);
    for (size_t i = 0; i < ending.size(); ++i) sigaction(ending[i], &before_[i], nullptr);
    sigaction(SIGTSTP, &stop_before_, nullptr);
    sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

  [[nodiscard]] bool works() const { return works_; }
  // Until there is input; false when a signal came.
  [[nodiscard]] bool wait() const {
    pollfd input{fd_, POLLIN, 0};
    while (caught == 0) {
      if (ppoll(&input, 1, nullptr, &mask_) >= 0) return true;
      if (errno != EINTR) return false;
    }
    return false;
  }

 private:
  static constexpr std::array ending = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  int fd_;
  termios shown_{};
  std::array<struct sigaction, ending.size()> before_{};
  struct sigaction stop_before_ {};
  sigset_t mask_{};
  bool works_ = false;
};

// A line without its end, at most `line.size()` bytes of it; absent at the end of input and where
// `unseen` has caught a signal.
std::optional<size_t> read_line(int fd, std::string& line, const Unseen* unseen = nullptr) {
  size_t size = 0;
  for (;;) {
    char c = 0;
    if (unseen != nullptr && !unseen->wait()) return std::nullopt;
    const ssize_t count = read(fd, &c, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return std::nullopt;
    if (c == '\n') return size;
    if (size < line.size()) line[size++] = c;
  }
}

}  // namespace

bool may_ask() {
  return questions_allowed() && is_terminal(STDIN_FILENO) && is_terminal(STDERR_FILENO);
}

bool ask_yes(const std::string& question) {
  for (;;) {
    if (!write_all(STDERR_FILENO, question + " [Y/n] ")) return false;
    std::string line(max_answer, '\0');
    const auto size = read_line(STDIN_FILENO, line);
    if (!size) {
      (void)write_all(STDERR_FILENO, "\n");
      return false;
    }
    const std::string answer = lower(trim(std::string_view(line).substr(0, *size)));
    if (answer.empty() || answer == "y" || answer == "yes") return true;
    if (answer == "n" || answer == "no") return false;
  }
}

std::optional<Secret> ask_secret(const std::string& question) {
  if (!questions_allowed()) return std::nullopt;
  const Fd terminal(open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal) return std::nullopt;
  std::optional<Secret> secret;
  {
    const Unseen unseen(terminal.get());
    if (!unseen.works() || !write_all(terminal.get(), question)) return std::nullopt;
    std::string line(max_answer, '\0');
    if (const auto size = read_line(terminal.get(), line, &unseen))
      secret = Secret(std::string_view(line).substr(0, *size));
    wipe(line);
    (void)write_all(terminal.get(), "\n");
  }
  if (caught != 0) raise(caught);
  return secret;
}

}  // namespace moat
