#include "core/name_servers.h"

#define CARES_NO_DEPRECATED  // later releases prefer names that Debian 12's does not have
#include <ares.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "core/fd.h"
#include "core/log.h"
#include "core/text.h"

namespace moat {
namespace {

// Per name and family; more are of no use to a Connector.
constexpr int max_addresses = 16;
// What fits through every path unfragmented (DNS flag day 2020).
constexpr int edns_bytes = 1232;
constexpr size_t max_resolv_conf = 64 * 1024;

// Of the first try; each further one waits twice as long.
struct Patience {
  int seconds = 2;
  int attempts = 3;
};

// What resolv.conf(5) calls timeout and attempts, with the limits that it has there. c-ares of
// Debian 12 knows them by names of its own only.
Patience read_patience(const std::string& path) {
  Patience patience;
  const auto text = read_file(path, max_resolv_conf);
  if (!text) return patience;
  const auto number = [](std::string_view word, std::string_view name, int most, int& value) {
    if (word.substr(0, name.size()) != name) return;
    if (const auto parsed = parse_number(word.substr(name.size()), 0, 1'000'000))
      value = std::clamp(static_cast<int>(*parsed), 1, most);
  };
  for (std::string_view line : split(*text, '\n')) {
    line = trim(line);
    constexpr std::string_view options = "options";
    if (line.substr(0, options.size()) != options) continue;
    for (const std::string_view word : split(line.substr(options.size()), ' ')) {
      number(trim(word), "timeout:", 30, patience.seconds);
      number(trim(word), "attempts:", 5, patience.attempts);
    }
  }
  return patience;
}

DnsOutcome outcome_of(int status) {
  switch (status) {
    case ARES_SUCCESS:
      return DnsOutcome::found;
    case ARES_ENODATA:
      return DnsOutcome::no_data;
    case ARES_ENOTFOUND:
      return DnsOutcome::no_name;
    case ARES_ETIMEOUT:
      return DnsOutcome::silence;
    case ARES_ECONNREFUSED:  // what is left when no server is
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_ENOTIMP:
    case ARES_EFORMERR:
      return DnsOutcome::failure;
    default:
      return DnsOutcome::trouble;
  }
}

// Those for the name that was asked about, behind its aliases; others that ride along are not read.
int addresses_in(const unsigned char* bytes, int size, int family,
                 std::vector<SocketAddress>& addresses) {
  int count = max_addresses;
  if (family == AF_INET6) {
    std::array<ares_addr6ttl, max_addresses> found;
    const int status = ares_parse_aaaa_reply(bytes, size, nullptr, found.data(), &count);
    for (int i = 0; status == ARES_SUCCESS && i < count; ++i) {
      sockaddr_in6 six{};
      six.sin6_family = AF_INET6;
      static_assert(sizeof six.sin6_addr == sizeof found[0].ip6addr);
      memcpy(&six.sin6_addr, &found[static_cast<size_t>(i)].ip6addr, sizeof six.sin6_addr);
      addresses.push_back(SocketAddress::from(reinterpret_cast<const sockaddr*>(&six), sizeof six));
    }
    return status;
  }
  std::array<ares_addrttl, max_addresses> found;
  const int status = ares_parse_a_reply(bytes, size, nullptr, found.data(), &count);
  for (int i = 0; status == ARES_SUCCESS && i < count; ++i) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_addr = found[static_cast<size_t>(i)].ipaddr;
    addresses.push_back(SocketAddress::from(reinterpret_cast<const sockaddr*>(&four), sizeof four));
  }
  return status;
}

}  // namespace

struct NameServers::Impl {
  // What c-ares holds of a question, until it calls back; it does so when it is destroyed, too.
  struct Question {
    Impl* asker;
    int family;
    Done done;
  };

  Impl(Loop& on, const std::string& resolv_conf, uint16_t port)
      : loop(on),
        timer(
            on, [this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }, Priority::traffic) {
    const Patience patience = read_patience(resolv_conf);
    std::string path = resolv_conf;
    std::string lookups = "b";  // its own reading of the hosts file is not wanted
    ares_options options{};
    options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS;
    options.timeout = patience.seconds * 1000;
    options.tries = patience.attempts;
    options.udp_port = options.tcp_port = port;
    options.lookups = lookups.data();
    options.ednspsz = edns_bytes;
    options.resolvconf_path = path.data();
    options.sock_state_cb = on_socket;
    options.sock_state_cb_data = this;
    const int status =
        ares_init_options(&channel, &options,
                          ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_UDP_PORT |
                              ARES_OPT_TCP_PORT | ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ |
                              ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB);
    if (status == ARES_SUCCESS) return;
    log(Level::debug, "c-ares: %s", ares_strerror(status));
    channel = nullptr;
  }
  ~Impl() {
    ending = true;
    if (channel != nullptr) ares_destroy(channel);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Whenever c-ares has done something, it may wait for something else.
  void process(ares_socket_t readable, ares_socket_t writable) {
    ares_process_fd(channel, readable, writable);
    set_timer();
  }
  void set_timer() {
    timeval left{};
    if (ares_timeout(channel, nullptr, &left) == nullptr) return timer.stop();
    timer.start(Milliseconds(left.tv_sec * 1000 + (left.tv_usec + 999) / 1000));
  }

  // A socket is wanted for this from now on; for neither, it is about to be closed.
  static void on_socket(void* arg, ares_socket_t fd, int readable, int writable) noexcept {
    Impl& self = *static_cast<Impl*>(arg);
    if (readable == 0 && writable == 0) {
      self.watches.erase(fd);
      return;
    }
    auto& watch = self.watches[fd];
    if (!watch) {
      watch = std::make_unique<Watch>(self.loop, fd, [&self, fd](Ready ready) {
        self.process(ready.read ? fd : ARES_SOCKET_BAD, ready.write ? fd : ARES_SOCKET_BAD);
      });
    }
    watch->want(readable != 0, writable != 0);
  }

  static void on_answer(void* arg, int status, int /*timeouts*/, unsigned char* bytes,
                        int size) noexcept {
    const std::unique_ptr<Question> question(static_cast<Question*>(arg));
    Impl& self = *question->asker;
    self.pending--;
    if (self.ending) return;
    std::vector<SocketAddress> addresses;
    if (status == ARES_SUCCESS) status = addresses_in(bytes, size, question->family, addresses);
    question->done(outcome_of(status), std::move(addresses));
  }

  Loop& loop;
  std::map<ares_socket_t, std::unique_ptr<Watch>> watches;
  Timer timer;
  ares_channel channel = nullptr;
  size_t pending = 0;
  bool ending = false;
};

NameServers::NameServers(Loop& loop, const std::string& resolv_conf, uint16_t port)
    : impl_(std::make_unique<Impl>(loop, resolv_conf, port)) {}

NameServers::~NameServers() = default;

void NameServers::ask(const std::string& name, int family, Done done) {
  if (impl_->channel == nullptr) return done(DnsOutcome::trouble, {});
  auto question =
      std::make_unique<Impl::Question>(Impl::Question{impl_.get(), family, std::move(done)});
  impl_->pending++;
  ares_query(impl_->channel, name.c_str(), ns_c_in, family == AF_INET6 ? ns_t_aaaa : ns_t_a,
             Impl::on_answer, question.release());
  impl_->set_timer();
}

size_t NameServers::pending() const {
  return impl_->pending;
}

}  // namespace moat
