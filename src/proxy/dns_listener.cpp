#include "proxy/dns_listener.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "proxy/deadline.h"

namespace moat::proxy {
namespace {

constexpr size_t most_message = 4096;  // of a question; ours fit in 300 bytes
constexpr int most_in_a_turn = 64;
constexpr size_t most_connections = 64;
constexpr Milliseconds idle_limit{10'000};

class Udp final : public DnsListener {
 public:
  Udp(Loop& loop, Fd fd, bool ipv6, NameService& service)
      : fd_(std::move(fd)), service_(service), watch_(loop, fd_.get(), [this](Ready) { serve(); }) {
    const int on = 1;
    if (ipv6) {
      setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    } else {
      setsockopt(fd_.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    }
    watch_.want(true, false);
  }

 private:
  void serve() {
    for (int i = 0; i < most_in_a_turn; i++) {
      if (!serve_one()) return;
    }
  }

  bool serve_one() {
    char bytes[most_message];
    alignas(cmsghdr) char control[256];
    sockaddr_storage peer{};
    iovec piece{bytes, sizeof bytes};
    msghdr message{};
    message.msg_name = &peer;
    message.msg_namelen = sizeof peer;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0) return errno == EINTR || errno == ECONNREFUSED;
    if ((message.msg_flags & MSG_TRUNC) != 0) return true;
    std::string answer = service_.answer({bytes, static_cast<size_t>(count)});
    if (answer.empty()) return true;
    keep_source_only(message);
    piece = {answer.data(), answer.size()};
    message.msg_flags = 0;
    // An answer that does not fit into the socket's queue is lost, as datagrams are.
    (void)sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return true;
  }

  // The control message says which address was asked; sent back, it becomes the source. The
  // interface in it is left to the routes.
  static void keep_source_only(msghdr& message) {
    for (cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr;
         item = CMSG_NXTHDR(&message, item)) {
      if (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_PKTINFO) {
        in_pktinfo info{};
        memcpy(&info, CMSG_DATA(item), sizeof info);
        info.ipi_ifindex = 0;
        info.ipi_spec_dst = info.ipi_addr;
        memcpy(CMSG_DATA(item), &info, sizeof info);
        return keep(message, item, sizeof info);
      }
      if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info{};
        memcpy(&info, CMSG_DATA(item), sizeof info);
        if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
        memcpy(CMSG_DATA(item), &info, sizeof info);
        return keep(message, item, sizeof info);
      }
    }
    message.msg_control = nullptr;
    message.msg_controllen = 0;
  }

  static void keep(msghdr& message, cmsghdr* item, size_t size) {
    message.msg_control = item;
    message.msg_controllen = CMSG_SPACE(size);
  }

  Fd fd_;
  NameService& service_;
  Watch watch_;
};

class Tcp final : public DnsListener {
 public:
  Tcp(Loop& loop, Fd fd, NameService& service)
      : loop_(loop),
        fd_(std::move(fd)),
        service_(service),
        watch_(loop, fd_.get(), [this](Ready) { accept_some(); }) {
    (void)set_non_blocking(fd_.get());
    watch_.want(true, false);
  }

 private:
  struct Connection final : Stream::Handler {
    Connection(Tcp& tcp, Fd fd)
        : tcp_(tcp),
          deadline_(tcp.loop_, [this] { tcp_.remove(this); }),
          stream_(tcp.loop_, std::move(fd), *this, Stream::Limits{2 + most_message, 64 * 1024}) {
      deadline_.set(idle_limit);
    }
    void on_input(Stream&) override {
      deadline_.set(idle_limit);
      while (!stream_.full()) {
        const std::string_view input = stream_.input();
        if (input.size() < 2) return;
        const size_t size = static_cast<size_t>(static_cast<unsigned char>(input[0])) * 256 +
                            static_cast<unsigned char>(input[1]);
        if (size > most_message) return tcp_.remove(this);
        if (input.size() < 2 + size) return;
        const std::string answer = tcp_.service_.answer(input.substr(2, size));
        stream_.consume(2 + size);
        if (answer.empty()) return tcp_.remove(this);
        std::string framed;
        framed += static_cast<char>(answer.size() >> 8);
        framed += static_cast<char>(answer.size() & 0xff);
        stream_.write(framed + answer);
      }
    }
    // Whoever has no more questions has had the answers written, or does not read them.
    void on_end(Stream&) override { tcp_.remove(this); }
    void on_drained(Stream& stream) override { on_input(stream); }
    void on_error(Stream&, const Error&) override { tcp_.remove(this); }

    Tcp& tcp_;
    Deadline deadline_;
    Stream stream_;
  };

  void accept_some() {
    for (int i = 0; i < most_in_a_turn; i++) {
      Fd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (errno == EMFILE || errno == ENFILE) connections_.clear();
        return;
      }
      if (connections_.size() >= most_connections) connections_.pop_front();
      connections_.push_back(std::make_unique<Connection>(*this, std::move(fd)));
    }
  }

  void remove(const Connection* connection) {
    connections_.remove_if([connection](const auto& each) { return each.get() == connection; });
  }

  Loop& loop_;
  Fd fd_;
  NameService& service_;
  std::list<std::unique_ptr<Connection>> connections_;
  Watch watch_;
};

}  // namespace

std::unique_ptr<DnsListener> make_dns_udp(Loop& loop, Fd fd, bool ipv6, NameService& service) {
  return std::make_unique<Udp>(loop, std::move(fd), ipv6, service);
}

std::unique_ptr<DnsListener> make_dns_tcp(Loop& loop, Fd fd, NameService& service) {
  return std::make_unique<Tcp>(loop, std::move(fd), service);
}

}  // namespace moat::proxy
