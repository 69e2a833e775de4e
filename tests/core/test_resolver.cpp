#include "core/resolver.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "core/text.h"
#include "moat_test.h"

namespace moat::test {
namespace {

namespace fs = std::filesystem;

constexpr int type_a = 1;
constexpr int type_aaaa = 28;

// A name server on a loopback port that answers from a table, and NXDOMAIN to all else: by UDP as
// much as the question allows for, by TCP all of it.
class NameServer {
 public:
  // On any port, or that one.
  explicit NameServer(Loop& loop, const char* ip = "127.0.0.1", uint16_t port = 0)
      : loop_(loop),
        udp_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
        tcp_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
        watch_udp_(loop, udp_.get(), [this](Ready) { answer_udp(); }),
        watch_tcp_(loop, tcp_.get(), [this](Ready) { accept_tcp(); }) {
    address = *SocketAddress::from_ip(ip, port);
    bind(udp_.get(), address.get(), address.size);
    socklen_t size = sizeof address.storage;
    getsockname(udp_.get(), reinterpret_cast<sockaddr*>(&address.storage), &size);
    if (bind(tcp_.get(), address.get(), address.size) != 0 || listen(tcp_.get(), 8) != 0)
      throw std::runtime_error("the port is taken");
    watch_udp_.want(true, false);
    watch_tcp_.want(true, false);
  }

  SocketAddress address;
  std::map<std::pair<std::string, int>, std::vector<std::string>> table;  // addresses in binary
  std::vector<std::string> asked;
  bool silent = false;
  int silent_about = 0;  // a type of record
  int code = 0;          // of every answer, if not 0: 2 is SERVFAIL, 5 REFUSED
  int by_tcp = 0;        // questions that came so

 private:
  struct Client {
    Client(Loop& loop, Fd socket, NameServer& server)
        : fd(std::move(socket)),
          watch(loop, fd.get(), [this, &server](Ready) { server.answer_tcp(*this); }) {
      watch.want(true, false);
    }
    Fd fd;
    std::string input;
    Watch watch;
  };

  void answer_udp() {
    char packet[512];
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const ssize_t count =
        recvfrom(udp_.get(), packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (count < 17) return;
    const std::string_view question(packet, static_cast<size_t>(count));
    std::string reply = answer(question);
    // RFC 6891: the OPT record comes last, and its class is how much may come back.
    const bool edns = question[11] == 1;
    const size_t most = edns ? static_cast<uint8_t>(question[question.size() - 8]) * 256U +
                                   static_cast<uint8_t>(question[question.size() - 7])
                             : 512U;
    if (reply.size() > most) {
      reply.resize(question.find('\0', 12) + 5);
      reply[2] = static_cast<char>(0x83);
      reply.replace(6, 2, {0, 0});
    }
    if (!reply.empty())
      sendto(udp_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
  }

  void accept_tcp() {
    Fd fd(accept4(tcp_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    clients_.push_back(std::make_unique<Client>(loop_, std::move(fd), *this));
  }
  void answer_tcp(Client& client) {
    char bytes[512];
    const ssize_t count = read(client.fd.get(), bytes, sizeof bytes);
    if (count <= 0) return client.watch.want(false, false);
    client.input.append(bytes, static_cast<size_t>(count));
    while (client.input.size() > 2 &&
           client.input.size() >= 2U + static_cast<uint8_t>(client.input[1])) {
      const size_t length = static_cast<uint8_t>(client.input[1]);
      const std::string reply = answer(std::string_view(client.input).substr(2, length));
      by_tcp++;
      const std::string framed =
          std::string{static_cast<char>(reply.size() >> 8), static_cast<char>(reply.size())} +
          reply;
      if (write(client.fd.get(), framed.data(), framed.size()) < 0) return;
      client.input.erase(0, 2 + length);
    }
  }

  // The whole answer; "" for none.
  std::string answer(std::string_view question) {
    std::string name;
    size_t at = 12;
    for (; question[at] != '\0'; at += static_cast<size_t>(question[at]) + 1)
      name += (name.empty() ? "" : ".") +
              std::string(question.substr(at + 1, static_cast<size_t>(question[at])));
    const int type = question[at + 2];
    asked.push_back(lower(name));
    if (silent || type == silent_about) return "";
    const auto found = table.find({lower(name), type});
    const bool known = table.count({lower(name), type_a}) + table.count({lower(name), type_aaaa});
    std::string reply(question.substr(0, at + 5));
    const int answer_code = code != 0 ? code : known ? 0 : 3;
    reply.replace(2, 2, {static_cast<char>(0x81), static_cast<char>(0x80 | answer_code)});
    const size_t answers = found == table.end() ? 0 : found->second.size();
    reply.replace(6, 6, {static_cast<char>(answers >> 8), static_cast<char>(answers), 0, 0, 0, 0});
    for (size_t i = 0; i < answers; ++i) {
      const std::string& data = found->second[i];
      reply += std::string("\xc0\x0c\0", 3) + static_cast<char>(type);
      reply += std::string("\0\x01\0\0\0\x3c\0", 7) + static_cast<char>(data.size()) + data;
    }
    return reply;
  }

  Loop& loop_;
  Fd udp_;
  Fd tcp_;
  std::vector<std::unique_ptr<Client>> clients_;
  Watch watch_udp_;
  Watch watch_tcp_;
};

struct ResolverTest {
  Loop loop;
  NameServer server{loop};
  std::string directory = fs::temp_directory_path() / "moat-resolver-XXXXXX";
  Resolver::Files files;
  std::optional<Resolver> resolver;
  std::unique_ptr<Resolver::Query> query;
  std::optional<Result<std::vector<SocketAddress>>> result;
  std::string text;

  ResolverTest() {
    if (mkdtemp(directory.data()) == nullptr) throw std::runtime_error("mkdtemp");
    files = {directory + "/resolv.conf", directory + "/hosts", server.address.port()};
    configure("");
    const auto ok = write_file_atomically(files.hosts, "127.0.0.9 in-hosts.test\n", 0600);
    resolver.emplace(loop, files);
  }
  ~ResolverTest() {
    query.reset();
    resolver.reset();
    fs::remove_all(directory);
  }
  void configure(const std::string& more) const { use({server.address.ip()}, more); }
  void use(const std::vector<std::string>& ips, const std::string& more = "") const {
    std::string lines;
    for (const std::string& ip : ips) lines += "nameserver " + ip + "\n";
    const auto ok = write_file_atomically(files.resolv_conf, lines + more, 0600);
  }
  void ask(const std::string& name) {
    result.reset();
    query = resolver->resolve(name, 443, [this](Result<std::vector<SocketAddress>> r) {
      result.emplace(std::move(r));
      query.reset();  // in its own callback
    });
  }
  // The addresses in order, or the message.
  const char* resolve(const std::string& name) {
    ask(name);
    if (result) return "answered from inside the call";
    if (!turn_until(
            loop, [this] { return result.has_value(); }, std::chrono::seconds(20)))
      return "late";
    text.clear();
    if (*result) {
      for (const SocketAddress& address : **result) text += address.text() + " ";
    } else {
      text = result->error().message;
    }
    return text.c_str();
  }
  static size_t open_descriptors() {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
  }
};

const std::string v4_one("\xc0\x00\x02\x01", 4);
const std::string v4_two("\xc0\x00\x02\x02", 4);
const std::string v6_one("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);

void both_families_are_found_ipv6_first(ResolverTest& t) {
  t.server.table[{"api.test", type_a}] = {v4_one, v4_two};
  t.server.table[{"api.test", type_aaaa}] = {v6_one};
  assert_string_equal(t.resolve("api.test"), "[2001:db8::1]:443 192.0.2.1:443 192.0.2.2:443 ");
  assert_string_equal(t.resolve("API.test."), "[2001:db8::1]:443 192.0.2.1:443 192.0.2.2:443 ");
}

void one_family_is_enough(ResolverTest& t) {
  t.server.table[{"four.test", type_a}] = {v4_one};
  t.server.table[{"six.test", type_aaaa}] = {v6_one};
  assert_string_equal(t.resolve("four.test"), "192.0.2.1:443 ");
  assert_string_equal(t.resolve("six.test"), "[2001:db8::1]:443 ");
}

// RFC 8305 3. The name server would be asked again after two seconds.
void one_family_does_not_wait_long_for_the_other(ResolverTest& t) {
  t.server.table[{"api.test", type_a}] = {v4_one};
  t.server.table[{"api.test", type_aaaa}] = {v6_one};
  for (const int lost : {type_a, type_aaaa}) {
    t.server.silent_about = lost;
    const auto begin = std::chrono::steady_clock::now();
    assert_string_equal(t.resolve("api.test"),
                        lost == type_a ? "[2001:db8::1]:443 " : "192.0.2.1:443 ");
    const bool soon = std::chrono::steady_clock::now() - begin < Milliseconds(1000);
    assert_true(soon);
  }
}

void a_name_without_an_address_is_said(ResolverTest& t) {
  t.server.table[{"none.test", type_a}] = {};
  assert_string_equal(t.resolve("none.test"), "cannot resolve none.test: the name has no address");
  assert_int_equal(t.result->error().code, Errc::dns);
}

void a_server_that_fails_is_told_from_one_that_is_silent(ResolverTest& t) {
  for (const int code : {2, 5}) {
    t.server.code = code;
    assert_string_equal(t.resolve("api.test"),
                        "cannot resolve api.test: the name servers of /etc/resolv.conf fail "
                        "(SERVFAIL), refuse, or are not there");
    assert_int_equal(t.result->error().code, Errc::dns);
  }
}

void another_server_is_asked_when_one_fails(ResolverTest& t) {
  t.server.code = 2;
  NameServer other(t.loop, "127.0.0.2", t.server.address.port());
  other.table[{"api.test", type_a}] = {v4_one};
  t.use({t.server.address.ip(), other.address.ip()});
  assert_string_equal(t.resolve("api.test"), "192.0.2.1:443 ");
}

// With its OPT record, more than the 512 bytes of old.
void an_answer_may_take_a_thousand_bytes_by_udp(ResolverTest& t) {
  t.server.table[{"big.test", type_a}].assign(60, v4_one);
  t.server.table[{"big.test", type_a}][15] = v4_two;
  const std::string text = t.resolve("big.test");
  assert_true(text.ends_with("192.0.2.2:443 "));  // the sixteenth, and no more are taken
  assert_int_equal(std::count(text.begin(), text.end(), ' '), 16);
  assert_int_equal(t.server.by_tcp, 0);
}

void an_answer_that_is_cut_comes_by_tcp(ResolverTest& t) {
  t.server.table[{"huge.test", type_a}].assign(400, v4_one);
  const std::string text = t.resolve("huge.test");
  assert_int_equal(std::count(text.begin(), text.end(), ' '), 16);
  assert_int_equal(t.server.by_tcp, 1);
}

void a_literal_is_its_own_answer(ResolverTest& t) {
  assert_string_equal(t.resolve("192.0.2.7"), "192.0.2.7:443 ");
  assert_string_equal(t.resolve("2001:db8::7"), "[2001:db8::7]:443 ");
  assert_int_equal(t.server.asked.size(), 0);
}

void the_hosts_file_comes_first(ResolverTest& t) {
  t.server.table[{"in-hosts.test", type_a}] = {v4_one};
  assert_string_equal(t.resolve("in-hosts.test"), "127.0.0.9:443 ");
  assert_int_equal(t.server.asked.size(), 0);
}

void a_name_may_have_several_lines_in_the_hosts_file(ResolverTest& t) {
  const auto ok = write_file_atomically(t.files.hosts,
                                        "# 192.0.2.9 a.test\n192.0.2.1\ta.test  B.test # c.test\n"
                                        "not-an-address b.test\n2001:db8::1 b.test\n\n",
                                        0600);
  assert_string_equal(t.resolve("a.test"), "192.0.2.1:443 ");
  assert_string_equal(t.resolve("b.TEST"), "192.0.2.1:443 [2001:db8::1]:443 ");
  assert_string_equal(t.resolve("c.test"), "cannot resolve c.test: no such name");
}

void a_name_that_does_not_exist_is_said(ResolverTest& t) {
  assert_string_equal(t.resolve("none.test"), "cannot resolve none.test: no such name");
  assert_int_equal(t.result->error().code, Errc::dns);
}

void no_search_list_is_applied(ResolverTest& t) {
  t.configure("search corp.test\noptions ndots:5\n");
  t.server.table[{"api.corp.test", type_a}] = {v4_one};
  assert_string_equal(t.resolve("api"), "cannot resolve api: no such name");
  for (const std::string& name : t.server.asked) assert_string_equal(name.c_str(), "api");
}

void what_is_no_host_name_is_not_asked(ResolverTest& t) {
  for (const std::string& bad :
       {std::string(), std::string("."), std::string("a..b"), std::string(".a"), std::string("a b"),
        std::string("a\0b", 3), std::string("a/b"), std::string(64, 'x'),
        std::string("caf\xc3\xa9.test")}) {
    t.resolve(bad);
    assert_false(t.result->has_value());
    assert_int_equal(t.result->error().code, Errc::dns);
  }
  t.text.clear();
  for (int i = 0; i < 60; ++i) t.text += "abcd.";
  const std::string long_name = t.text + "test";
  t.resolve(long_name);
  assert_false(t.result->has_value());
  assert_int_equal(t.server.asked.size(), 0);
}

void a_server_that_is_silent_is_said(ResolverTest& t) {
  t.configure("options timeout:1 attempts:1\n");
  t.server.silent = true;
  assert_string_equal(t.resolve("api.test"),
                      "cannot resolve api.test: no name server of /etc/resolv.conf gave an answer");
  assert_int_equal(t.result->error().code, Errc::timeout);
}

void destroying_the_handle_cancels(ResolverTest& t) {
  t.server.table[{"api.test", type_a}] = {v4_one};
  t.ask("api.test");
  t.query.reset();
  for (int i = 0; i < 10; ++i) t.loop.turn(Milliseconds(2));
  assert_false(t.result.has_value());
  t.ask("192.0.2.1");
  t.query.reset();
  t.loop.turn(Milliseconds(2));
  assert_false(t.result.has_value());
}

void the_resolver_may_go_before_its_answers(ResolverTest& t) {
  t.server.silent = true;
  t.ask("api.test");
  t.loop.turn(Milliseconds(5));
  t.resolver.reset();
  t.query.reset();
  t.loop.turn(Milliseconds(5));
  assert_false(t.result.has_value());
}

void an_idle_resolver_keeps_no_socket(ResolverTest& t) {
  const size_t before = ResolverTest::open_descriptors();
  t.server.table[{"api.test", type_a}] = {v4_one};
  t.ask("api.test");
  assert_true(ResolverTest::open_descriptors() > before);
  assert_string_equal(t.resolve("api.test"), "192.0.2.1:443 ");
  const bool closed =
      turn_until(t.loop, [before] { return ResolverTest::open_descriptors() == before; });
  assert_true(closed);
  assert_string_equal(t.resolve("api.test"), "192.0.2.1:443 ");
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(ResolverTest, both_families_are_found_ipv6_first),
      MOAT_TEST(ResolverTest, one_family_is_enough),
      MOAT_TEST(ResolverTest, one_family_does_not_wait_long_for_the_other),
      MOAT_TEST(ResolverTest, a_name_without_an_address_is_said),
      MOAT_TEST(ResolverTest, a_server_that_fails_is_told_from_one_that_is_silent),
      MOAT_TEST(ResolverTest, a_name_may_have_several_lines_in_the_hosts_file),
      MOAT_TEST(ResolverTest, another_server_is_asked_when_one_fails),
      MOAT_TEST(ResolverTest, an_answer_may_take_a_thousand_bytes_by_udp),
      MOAT_TEST(ResolverTest, an_answer_that_is_cut_comes_by_tcp),
      MOAT_TEST(ResolverTest, a_literal_is_its_own_answer),
      MOAT_TEST(ResolverTest, the_hosts_file_comes_first),
      MOAT_TEST(ResolverTest, a_name_that_does_not_exist_is_said),
      MOAT_TEST(ResolverTest, no_search_list_is_applied),
      MOAT_TEST(ResolverTest, what_is_no_host_name_is_not_asked),
      MOAT_TEST(ResolverTest, a_server_that_is_silent_is_said),
      MOAT_TEST(ResolverTest, destroying_the_handle_cancels),
      MOAT_TEST(ResolverTest, the_resolver_may_go_before_its_answers),
      MOAT_TEST(ResolverTest, an_idle_resolver_keeps_no_socket),
  };
  return cmocka_run_group_tests_name("core/resolver", tests, nullptr, nullptr);
}
