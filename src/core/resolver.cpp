#include "core/resolver.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/fd.h"
#include "core/name_servers.h"
#include "core/text.h"

namespace moat {
namespace {

// How long sockets to name servers, and what was read from /etc, stay after the last answer.
constexpr Milliseconds idle_limit(2000);
// Of the hosts file, per name; more are of no use to a Connector.
constexpr size_t max_addresses = 16;
// Under way at once, two a name.
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

// In the order in which they explain a failure best, where the families differ.
struct Explanation {
  DnsOutcome outcome;
  Errc code;
  const char* text;
};
constexpr Explanation explanations[] = {
    {DnsOutcome::no_name, Errc::dns, "no such name"},
    {DnsOutcome::silence, Errc::timeout, "no name server of /etc/resolv.conf gave an answer"},
    {DnsOutcome::failure, Errc::dns,
     "the name servers of /etc/resolv.conf fail (SERVFAIL), refuse, or are not there"},
    {DnsOutcome::no_data, Errc::dns, "the name has no address"},
};

Error lookup_error(const std::string& name, DnsOutcome six, DnsOutcome four) {
  for (const Explanation& explanation : explanations) {
    if (six == explanation.outcome || four == explanation.outcome)
      return error(explanation.code, "cannot resolve %s: %s", name.c_str(), explanation.text);
  }
  return error(Errc::dns, "cannot resolve %s: the resolver failed", name.c_str());
}

}  // namespace

// One name being looked up, as its owner holds it.
class Lookup final : public Resolver::Query {
 public:
  Lookup(Loop& loop, std::string name, uint16_t port, Resolver::Done done)
      : name_(std::move(name)),
        port_(port),
        done_(std::move(done)),
        deliver_(
            loop, [this] { deliver(); }, Priority::traffic) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uint16_t port() const { return port_; }

  // By way of the loop: never from inside the call that asks.
  void answer(Result<std::vector<SocketAddress>> result) {
    result_.emplace(std::move(result));
    deliver_.start(Milliseconds(0));
  }
  // What is called when the answer for one family is there, unless we are gone or done by then.
  NameServers::Done when_answered(int of_family) {
    return [this, of_family, life = std::weak_ptr<char>(life_)](
               DnsOutcome outcome, std::vector<SocketAddress> addresses) {
      if (!life.expired()) answer(of_family, outcome, std::move(addresses));
    };
  }

 private:
  struct Family {
    DnsOutcome outcome = DnsOutcome::pending;
    std::vector<SocketAddress> addresses;
  };

  void answer(int of_family, DnsOutcome outcome, std::vector<SocketAddress> addresses) {
    Family& mine = of_family == AF_INET6 ? six_ : four_;
    mine = {outcome, std::move(addresses)};
    const Family& other = &mine == &six_ ? four_ : six_;
    if (other.outcome != DnsOutcome::pending) {
      deliver_.start(Milliseconds(0));
    } else if (outcome == DnsOutcome::found) {
      deliver_.start(resolution_delay);
    }
  }
  void deliver() {
    life_.reset();
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
  std::shared_ptr<char> life_ = std::make_shared<char>();  // until it is delivered
};

struct Resolver::Impl {
  Impl(Loop& on, Files from) : loop(on), files(std::move(from)), idle(on, [this] { close(); }) {}

  // Reads two small files: the only thing here that could wait, and not for the network.
  void open() {
    idle.start(idle_limit);
    if (servers) return;
    servers.emplace(loop, files.resolv_conf, files.port);
    hosts = read_hosts(files.hosts);
  }
  void close() {
    if (servers->pending() > 0) return idle.start(idle_limit);
    hosts.clear();
    servers.reset();
  }

  void look_up(Lookup& lookup) {
    open();
    if (const auto known = hosts.find(lower(lookup.name())); known != hosts.end()) {
      std::vector<SocketAddress> addresses = known->second;
      if (addresses.size() > max_addresses) addresses.resize(max_addresses);
      for (SocketAddress& address : addresses) address.set_port(lookup.port());
      return lookup.answer(std::move(addresses));
    }
    if (servers->pending() >= max_questions)
      return lookup.answer(
          error(Errc::dns, "cannot resolve %s: too many names at once", lookup.name().c_str()));
    for (const int family : {AF_INET6, AF_INET})
      servers->ask(lookup.name(), family, lookup.when_answered(family));
  }

  Loop& loop;
  Files files;
  Hosts hosts;                         // as long as there are servers
  std::optional<NameServers> servers;  // while there is something to ask, and shortly after
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
