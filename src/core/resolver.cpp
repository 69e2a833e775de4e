#include "core/resolver.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/fd.h"
#include "core/log.h"
#include "core/text.h"

namespace moat {
namespace {

// How long libevent's resolver, its sockets and what it read from /etc stay after the last answer.
constexpr Milliseconds idle_limit(2000);
// Per name and family; more are of no use to a Connector.
constexpr size_t max_addresses = 16;
// Under way at once, two a name; libevent asks 64 of them and queues the others.
constexpr size_t max_questions = 2048;

// RFC 8305 3: how long one family waits for the other.
constexpr Milliseconds resolution_delay(50);
// A hosts file larger than this is not read; lists that block advertising have a few of them.
constexpr size_t max_hosts_file = 16 * 1024 * 1024;

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

using Hosts = std::unordered_map<std::string, std::vector<SocketAddress>>;

// hosts(5): an address, and the names that it has.
Hosts read_hosts(const std::string& path) {
  Hosts hosts;
  const auto text = read_file(path, max_hosts_file);
  if (!text) return hosts;
  for (std::string_view line : split(*text, '\n')) {
    line = line.substr(0, line.find('#'));
    std::optional<SocketAddress> address;
    while (!(line = trim(line)).empty()) {
      const size_t end = std::min(line.find_first_of(" \t"), line.size());
      const std::string word = lower(line.substr(0, end));
      line.remove_prefix(end);
      if (address) {
        hosts[word].push_back(*address);
      } else if (!(address = SocketAddress::from_ip(word, 0))) {
        break;
      }
    }
  }
  return hosts;
}

SocketAddress to_address(char type, const void* addresses, int index) {
  if (type == DNS_IPv6_AAAA) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    memcpy(&six.sin6_addr, static_cast<const char*>(addresses) + index * 16, 16);
    return SocketAddress::from(reinterpret_cast<const sockaddr*>(&six), sizeof six);
  }
  sockaddr_in four{};
  four.sin_family = AF_INET;
  memcpy(&four.sin_addr, static_cast<const char*>(addresses) + index * 4, 4);
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&four), sizeof four);
}

// libevent would write to stderr.
void log_quietly(int /*is_warning*/, const char* message) noexcept {
  log(Level::debug, "evdns: %s", message);
}

// What became of a question about one family.
enum class Outcome {
  pending,
  found,
  no_data,  // there is such a name, without an address of this family
  no_name,
  silence,
  failure,  // SERVFAIL
  refusal,
  cut,  // longer than a datagram of DNS may be
  trouble,
};

// In the order in which they explain a failure best, where the families differ.
struct Explanation {
  Outcome outcome;
  Errc code;
  const char* text;
};
constexpr Explanation explanations[] = {
    {Outcome::no_name, Errc::dns, "no such name"},
    {Outcome::silence, Errc::timeout, "no name server of /etc/resolv.conf gave an answer"},
    {Outcome::failure, Errc::dns, "the name server failed (SERVFAIL)"},
    {Outcome::refusal, Errc::dns, "the name server refuses to answer"},
    {Outcome::cut, Errc::dns, "the name server's answer is longer than 512 bytes"},
    {Outcome::no_data, Errc::dns, "the name has no address"},
};

Error lookup_error(const std::string& name, Outcome six, Outcome four) {
  for (const Explanation& explanation : explanations) {
    if (six == explanation.outcome || four == explanation.outcome)
      return error(explanation.code, "cannot resolve %s: %s", name.c_str(), explanation.text);
  }
  return error(Errc::dns, "cannot resolve %s: the resolver failed", name.c_str());
}

Outcome outcome_of(int code, Milliseconds after) {
  // libevent takes SERVFAIL for silence, and asks again at once. A second of true silence is the
  // least that resolv.conf can ask for, less what the clock of a busy loop is late.
  constexpr Milliseconds shortest_silence(500);
  switch (code) {
    case DNS_ERR_NONE:
      return Outcome::found;
    case DNS_ERR_NODATA:
      return Outcome::no_data;
    case DNS_ERR_NOTEXIST:
      return Outcome::no_name;
    case DNS_ERR_TIMEOUT:
      return after < shortest_silence ? Outcome::failure : Outcome::silence;
    case DNS_ERR_SERVERFAILED:
      return Outcome::failure;
    case DNS_ERR_REFUSED:
    case DNS_ERR_NOTIMPL:
    case DNS_ERR_FORMAT:
      return Outcome::refusal;
    case DNS_ERR_TRUNCATED:
      return Outcome::cut;
    default:
      return Outcome::trouble;
  }
}

}  // namespace

// One name being looked up, as its owner holds it.
class Lookup final : public Resolver::Query {
 public:
  // What libevent holds of a question. It lives until libevent has called back, by which time the
  // Lookup, or the resolver, may be gone.
  struct Ticket {
    Resolver::Impl* resolver;
    Lookup* lookup;
    int family;
    std::chrono::steady_clock::time_point asked = std::chrono::steady_clock::now();
  };

  Lookup(Loop& loop, std::string name, uint16_t port, Resolver::Done done)
      : name_(std::move(name)),
        port_(port),
        done_(std::move(done)),
        deliver_(
            loop, [this] { deliver(); }, Priority::traffic) {}
  ~Lookup() override { detach(); }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uint16_t port() const { return port_; }

  // By way of the loop: never from inside the call that asks.
  void answer(Result<std::vector<SocketAddress>> result) {
    result_.emplace(std::move(result));
    deliver_.start(Milliseconds(0));
  }
  void expect(Ticket& ticket) { family(ticket.family).ticket = &ticket; }
  void forget(const Ticket& ticket) { family(ticket.family).ticket = nullptr; }
  void answer(int of_family, Outcome outcome, std::vector<SocketAddress> addresses) {
    Family& mine = family(of_family);
    mine = {nullptr, outcome, std::move(addresses)};
    const Family& other = &mine == &six_ ? four_ : six_;
    if (other.outcome != Outcome::pending) {
      deliver_.start(Milliseconds(0));
    } else if (outcome == Outcome::found) {
      deliver_.start(resolution_delay);
    }
  }

 private:
  struct Family {
    Ticket* ticket = nullptr;  // while libevent holds it
    Outcome outcome = Outcome::pending;
    std::vector<SocketAddress> addresses;
  };

  Family& family(int number) { return number == AF_INET6 ? six_ : four_; }
  void detach() {
    for (Family* each : {&six_, &four_}) {
      if (each->ticket != nullptr) std::exchange(each->ticket, nullptr)->lookup = nullptr;
    }
  }
  void deliver() {
    detach();
    if (!result_) result_.emplace(gather());
    // `done` may destroy us: nothing of ours is touched after it.
    const auto done = std::move(done_);
    done(std::move(*result_));
  }
  Result<std::vector<SocketAddress>> gather() {
    std::vector<SocketAddress> all = std::move(six_.addresses);
    all.insert(all.end(), four_.addresses.begin(), four_.addresses.end());
    for (SocketAddress& address : all) address.set_port(port_);
    if (all.empty()) return lookup_error(name_, six_.outcome, four_.outcome);
    return all;
  }

  std::string name_;
  uint16_t port_;
  Resolver::Done done_;
  Family six_;
  Family four_;
  std::optional<Result<std::vector<SocketAddress>>> result_;  // if it was known at once
  Timer deliver_;
};

struct Resolver::Impl {
  using Ticket = Lookup::Ticket;

  Impl(Loop& on, Files from) : loop(on), files(std::move(from)), idle(on, [this] { close(); }) {}
  ~Impl() {
    for (Ticket* ticket : tickets) {
      if (ticket->lookup != nullptr) ticket->lookup->forget(*ticket);
      ticket->resolver = nullptr;
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
    hosts = read_hosts(files.hosts);
    return true;
  }

  void close() {
    hosts.clear();
    // Questions that are under way are called back with an error, in the next turn.
    if (dns != nullptr) evdns_base_free(std::exchange(dns, nullptr), 1);
  }

  void look_up(Lookup& lookup) {
    if (tickets.size() >= max_questions || !open())
      return lookup.answer(
          error(Errc::dns, "cannot resolve %s: too many names at once", lookup.name().c_str()));
    if (tickets.empty()) idle.start(idle_limit);
    if (const auto known = hosts.find(lower(lookup.name())); known != hosts.end()) {
      std::vector<SocketAddress> addresses = known->second;
      if (addresses.size() > max_addresses) addresses.resize(max_addresses);
      for (SocketAddress& address : addresses) address.set_port(lookup.port());
      return lookup.answer(std::move(addresses));
    }
    ask(lookup, AF_INET6);
    ask(lookup, AF_INET);
  }

  void ask(Lookup& lookup, int family) {
    auto ticket = std::make_unique<Ticket>(Ticket{this, &lookup, family});
    const auto send = family == AF_INET6 ? evdns_base_resolve_ipv6 : evdns_base_resolve_ipv4;
    if (send(dns, lookup.name().c_str(), DNS_QUERY_NO_SEARCH, on_answer, ticket.get()) == nullptr)
      return lookup.answer(family, Outcome::trouble, {});
    idle.stop();
    lookup.expect(*ticket);
    tickets.insert(ticket.release());
  }

  static void on_answer(int code, char type, int count, int /*ttl*/, void* addresses,
                        void* arg) noexcept {
    const std::unique_ptr<Ticket> ticket(static_cast<Ticket*>(arg));
    if (ticket->resolver == nullptr) return;
    Impl& self = *ticket->resolver;
    self.tickets.erase(ticket.get());
    if (self.tickets.empty()) self.idle.start(idle_limit);
    if (ticket->lookup == nullptr) return;
    const auto after =
        std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - ticket->asked);
    std::vector<SocketAddress> found;
    const char wanted = ticket->family == AF_INET6 ? DNS_IPv6_AAAA : DNS_IPv4_A;
    if (code == DNS_ERR_NONE && type == wanted) {
      for (int i = 0; i < count && found.size() < max_addresses; ++i)
        found.push_back(to_address(type, addresses, i));
    }
    Outcome outcome = outcome_of(code, after);
    if (outcome == Outcome::found && found.empty()) outcome = Outcome::no_data;
    ticket->lookup->answer(ticket->family, outcome, std::move(found));
  }

  Loop& loop;
  Files files;
  Hosts hosts;                // as long as dns is there
  evdns_base* dns = nullptr;  // only while there is something to ask, and shortly after
  std::unordered_set<Ticket*> tickets;
  Timer idle;
};

Resolver::Resolver(Loop& loop, Files files)
    : impl_(std::make_unique<Impl>(loop, std::move(files))) {}

Resolver::~Resolver() = default;

std::unique_ptr<Resolver::Query> Resolver::resolve(const std::string& name, uint16_t port,
                                                   Done done) {
  // A final dot says that a name is absolute, as all are here.
  const std::string absolute =
      !name.empty() && name.back() == '.' ? name.substr(0, name.size() - 1) : name;
  auto lookup = std::make_unique<Lookup>(impl_->loop, absolute, port, std::move(done));
  if (const auto literal = SocketAddress::from_ip(absolute, port)) {
    lookup->answer(std::vector{*literal});
  } else if (is_host_name(absolute)) {
    impl_->look_up(*lookup);
  } else {
    lookup->answer(error(Errc::dns, "cannot resolve '%s': not a host name",
                         printable(name.substr(0, 64)).c_str()));
  }
  return lookup;
}

}  // namespace moat
