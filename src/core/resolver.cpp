#include "core/resolver.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>

#include <algorithm>
#include <optional>
#include <unordered_set>
#include <utility>

#include "core/handle.h"
#include "core/log.h"
#include "core/text.h"

namespace moat {
namespace {

// How long libevent's resolver, its sockets and what it read from /etc stay after the last answer.
constexpr Milliseconds idle_limit(2000);
// Per name; more are of no use to a Connector.
constexpr size_t max_addresses = 16;
// Under way at once; libevent asks 64 of them and queues the others.
constexpr size_t max_lookups = 1024;

using Addresses = Handle<evutil_addrinfo, evutil_freeaddrinfo>;

bool is_label_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

// RFC 1035 2.3.4, with the underscore that names in the wild do have.
bool is_host_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (const std::string_view label : split(name, '.')) {
    if (label.empty() || label.size() > 63) return false;
    if (!std::all_of(label.begin(), label.end(), is_label_character)) return false;
  }
  return true;
}

Result<std::vector<SocketAddress>> to_addresses(const evutil_addrinfo* list, uint16_t port) {
  std::vector<SocketAddress> found;
  // IPv4 first: where a host's IPv6 is broken it is so in silence, until a timeout.
  for (const int family : {AF_INET, AF_INET6}) {
    for (const evutil_addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
      if (entry->ai_family != family || found.size() == max_addresses) continue;
      SocketAddress address =
          SocketAddress::from(entry->ai_addr, static_cast<socklen_t>(entry->ai_addrlen));
      address.set_port(port);
      found.push_back(address);
    }
  }
  return found;
}

// libevent would write to stderr.
void log_quietly(int /*is_warning*/, const char* message) noexcept {
  log(Level::debug, "evdns: %s", message);
}

Error lookup_error(int code, const std::string& name) {
  const char* why = "no name server of /etc/resolv.conf gave an answer";
  switch (code) {
    case EVUTIL_EAI_NONAME:
    case EVUTIL_EAI_NODATA:
      why = "no such name";
      break;
    case EVUTIL_EAI_AGAIN:
    case EVUTIL_EAI_FAIL:
      break;
    default:
      why = evutil_gai_strerror(code);
      break;
  }
  return error(Errc::dns, "cannot resolve %s: %s", name.c_str(), why);
}

}  // namespace

// One name being looked up, as its owner holds it.
class Lookup final : public Resolver::Query {
 public:
  Lookup(Loop& loop, uint16_t port, Resolver::Done done)
      : port_(port), done_(std::move(done)), deliver_(loop, [this] { deliver(); }) {}
  ~Lookup() override {
    if (link_ != nullptr) *link_ = nullptr;
  }

  // Where to note that we are gone, while somebody is going to answer.
  void link(Lookup** link) { link_ = link; }
  // By way of the loop: libevent answers from inside the call when it knows the name.
  void answer(Result<std::vector<SocketAddress>> result) {
    link_ = nullptr;
    result_.emplace(std::move(result));
    deliver_.start(Milliseconds(0));
  }
  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  void deliver() {
    // `done` may destroy us: nothing of ours is touched after it.
    const auto done = std::move(done_);
    done(std::move(*result_));
  }

  uint16_t port_;
  Resolver::Done done_;
  Lookup** link_ = nullptr;
  std::optional<Result<std::vector<SocketAddress>>> result_;
  Timer deliver_;
};

struct Resolver::Impl {
  // What libevent holds of a lookup. It lives until libevent has called back, by which time the
  // Lookup, or all of us, may be gone.
  struct Ticket {
    Impl* impl;
    Lookup* lookup;
    std::string name;
  };

  Impl(Loop& on, Files from) : loop(on), files(std::move(from)), idle(on, [this] { close(); }) {}
  ~Impl() {
    for (Ticket* ticket : tickets) {
      if (ticket->lookup != nullptr) ticket->lookup->link(nullptr);
      ticket->impl = nullptr;
      ticket->lookup = nullptr;
    }
    close();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Reads two small files: the only thing here that could wait, and not for the network.
  bool open() {
    idle.stop();
    if (dns != nullptr) return true;
    dns = evdns_base_new(loop.base(), 0);
    if (dns == nullptr) return false;
    evdns_set_log_fn(log_quietly);
    // What resolv.conf says comes later and wins.
    evdns_base_set_option(dns, "timeout:", "2");
    evdns_base_set_option(dns, "attempts:", "3");
    // Without DNS_OPTION_SEARCH there is no search list and ndots has no meaning. Where the file
    // is missing libevent asks 127.0.0.1, as the C library does.
    evdns_base_resolv_conf_parse(dns, DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC,
                                 files.resolv_conf.c_str());
    evdns_base_load_hosts(dns, files.hosts.c_str());
    return true;
  }

  void close() {
    // Lookups that are under way are called back with an error, in the next turn.
    if (dns != nullptr) evdns_base_free(std::exchange(dns, nullptr), 1);
  }

  void ask(const std::string& name, Lookup& lookup) {
    if (tickets.size() >= max_lookups || !open())
      return lookup.answer(
          error(Errc::dns, "cannot resolve %s: too many names at once", name.c_str()));
    auto* ticket = new Ticket{this, &lookup, name};
    tickets.insert(ticket);
    lookup.link(&ticket->lookup);
    evutil_addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    evdns_getaddrinfo(dns, name.c_str(), nullptr, &hints, on_answer, ticket);
  }

  static void on_answer(int code, evutil_addrinfo* list, void* arg) noexcept {
    const Addresses addresses(list);
    const std::unique_ptr<Ticket> ticket(static_cast<Ticket*>(arg));
    if (ticket->impl == nullptr) return;
    ticket->impl->tickets.erase(ticket.get());
    if (ticket->impl->tickets.empty()) ticket->impl->idle.start(idle_limit);
    Lookup* lookup = ticket->lookup;
    if (lookup == nullptr) return;
    if (code != 0) return lookup->answer(lookup_error(code, ticket->name));
    lookup->answer(to_addresses(addresses.get(), lookup->port()));
  }

  Loop& loop;
  Files files;
  evdns_base* dns = nullptr;  // only while there is something to ask, and shortly after
  std::unordered_set<Ticket*> tickets;
  Timer idle;
};

Resolver::Resolver(Loop& loop, Files files)
    : impl_(std::make_unique<Impl>(loop, std::move(files))) {}

Resolver::~Resolver() = default;

std::unique_ptr<Resolver::Query> Resolver::resolve(const std::string& name, uint16_t port,
                                                   Done done) {
  auto lookup = std::make_unique<Lookup>(impl_->loop, port, std::move(done));
  // A final dot says that a name is absolute, as all are here.
  const std::string absolute =
      !name.empty() && name.back() == '.' ? name.substr(0, name.size() - 1) : name;
  if (const auto literal = SocketAddress::from_ip(absolute, port)) {
    lookup->answer(std::vector{*literal});
  } else if (is_host_name(absolute)) {
    impl_->ask(absolute, *lookup);
  } else {
    lookup->answer(error(Errc::dns, "cannot resolve '%s': not a host name",
                         printable(name.substr(0, 64)).c_str()));
  }
  return lookup;
}

}  // namespace moat
