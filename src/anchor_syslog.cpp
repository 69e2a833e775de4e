// By hand, for syslog(3) blocks when the log's socket is full.
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "anchor.h"
#include "core/fd.h"
#include "core/text.h"

namespace moat {
namespace {

class SyslogAnchor final : public Anchor {
 public:
  SyslogAnchor(int facility, std::string socket)
      : facility_(facility), socket_(std::move(socket)) {}

  [[nodiscard]] std::string name() const override { return "syslog"; }
  void take(const std::string& run, const store::SignedHead& head, Done done) override {
    const std::string text =
        format("moat.run/%s %llu %s", run.c_str(), static_cast<unsigned long long>(head.head.size),
               hex(view(head.head.root)).c_str());
    done(send_line(text));
  }

 private:
  [[nodiscard]] Result<void> send_line(const std::string& text) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_.size() >= sizeof address.sun_path)
      return error(Errc::invalid, "the path of its socket is too long");
    std::memcpy(address.sun_path, socket_.c_str(), socket_.size());
    const Fd log(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!log) return errno_error("it cannot be reached");
    const std::string line = head_of_line() + text;
    ssize_t sent = -1;
    do {
      sent = sendto(log.get(), line.data(), line.size(), MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address), sizeof address);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN) return error(Errc::full, "it is full");
    if (sent < 0) return errno_error("it cannot be reached at %s", printable(socket_).c_str());
    return {};
  }

  // RFC 3164 without the host, as programs of the same machine write it.
  [[nodiscard]] std::string head_of_line() const {
    constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const time_t now = time(nullptr);
    tm local{};
    localtime_r(&now, &local);
    return format("<%d>%s %2d %02d:%02d:%02d moat[%d]: ", facility_ | LOG_NOTICE,
                  months[local.tm_mon % 12], local.tm_mday, local.tm_hour, local.tm_min,
                  local.tm_sec, static_cast<int>(getpid()));
  }

  int facility_;
  std::string socket_;
};

}  // namespace

std::unique_ptr<Anchor> make_syslog_anchor(int facility, std::string socket) {
  return std::make_unique<SyslogAnchor>(facility, std::move(socket));
}

}  // namespace moat
