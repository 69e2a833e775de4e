// moat-init as it is built, in a real sandbox: run with the paths of moat-init and of `inside`.
#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <linux/keyctl.h>
#include <linux/netfilter_ipv4.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <cstring>

#include "sandbox_fixture.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;
using namespace moat::test;

namespace {

using Kind = SandboxListener::Kind;

struct AsUser : SandboxTest {  // bwrap run by an ordinary user, when we are root
  AsUser() {
    if (geteuid() == 0) host_uid = 65534;
  }
};
struct AsRootInside : SandboxTest {
  AsRootInside() { spec.uid = spec.gid = 0; }
};
struct Container : SandboxTest {  // as Docker does it: no user namespace, setuid(2)
  Container() {
    user_namespace = false;
    spec.nest = false;
  }
};
struct WithoutRedirect : SandboxTest {
  WithoutRedirect() { spec.redirect = false; }
};

#define expect(t, condition)                               \
  do {                                                     \
    const bool holds_ = (condition);                       \
    if (!holds_) print_error("%s\n", (t).story().c_str()); \
    assert_true(holds_);                                   \
  } while (0)

// The address that a connection accepted from `listener` wanted, as "address port"; "" for none.
std::string accept_and_answer(const SandboxListener& listener) {
  const int fd = accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return "";
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (listener.redirected) {
    getsockopt(fd, listener.ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, SO_ORIGINAL_DST, &address, &size);
  } else {
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  }
  char text[INET6_ADDRSTRLEN] = "";
  uint16_t port = 0;
  if (listener.ipv6) {
    const auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    port = ntohs(v6.sin6_port);
  } else {
    const auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    port = ntohs(v4.sin_port);
  }
  char bytes[64];
  const ssize_t got = recv(fd, bytes, sizeof bytes, 0);
  if (got > 0) send(fd, "welcome", 7, MSG_NOSIGNAL);
  close(fd);
  return std::string(text) + " " + std::to_string(port);
}

std::string wanted_by(SandboxTest& t, Kind kind, bool ipv6) {
  const SandboxListener* listener = t.told.listener(kind, ipv6);
  if (listener == nullptr) return "no listener";
  t.channel->go();
  std::string wanted;
  t.turn_until([&] { return !(wanted = accept_and_answer(*listener)).empty() || t.told.over(); });
  t.end();
  return wanted;
}

void the_seal_is_proved_before_the_command_runs(SandboxTest& t) {
  const bool sealed = t.seal();
  expect(t, sealed);
  expect(t, t.told.proved("interfaces") == "lo");
  expect(t, t.told.proved("routes") == "lo only");
  expect(t, t.told.proved("ipv4") == "every port by nf_tables");
  expect(t, t.told.proved("ipv6") == "every port by nf_tables");
  expect(t, t.told.proved("udp").find("203.0.113.1 port 443 unreachable") != std::string::npos);
  expect(t, t.told.proved("ca") == "/etc/ssl/certs/ca-certificates.crt");
  expect(t, t.told.proved("uid") == "1000");
  expect(t, t.told.listeners.size() == 6);
  expect(t, !t.told.started);
  expect(t, t.channel->peer().uid == t.host_uid);
}

void an_ordinary_user_gets_the_same_seal(AsUser& t) {
  t.spec.command = {"/run/moat/inside", "tcp", "93.184.216.34", "8443", "hello"};
  const bool sealed = t.seal();
  expect(t, sealed);
  const std::string wanted = wanted_by(t, Kind::tcp, false);
  expect(t, wanted == "93.184.216.34 8443");
  expect(t, t.said("answer: welcome"));
}

void a_connection_to_any_port_comes_with_the_address_it_wanted(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "tcp", "93.184.216.34", "8443", "hello"};
  const bool sealed = t.seal();
  expect(t, sealed);
  const std::string wanted = wanted_by(t, Kind::tcp, false);
  expect(t, wanted == "93.184.216.34 8443");
  expect(t, t.said("answer: welcome"));
  expect(t, t.told.exited && t.told.exited->code == 0);
}

void ipv6_is_no_way_around(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "tcp", "2606:2800::1", "443", "hello"};
  const bool sealed = t.seal();
  expect(t, sealed);
  const std::string wanted = wanted_by(t, Kind::tcp, true);
  expect(t, wanted == "2606:2800::1 443");
  expect(t, t.said("answer: welcome"));
}

void the_metadata_address_comes_to_us_as_well(AsRootInside& t) {
  t.spec.command = {"/run/moat/inside", "tcp", "169.254.169.254", "80", "hello"};
  const bool sealed = t.seal();
  expect(t, sealed);
  const std::string wanted = wanted_by(t, Kind::tcp, false);
  expect(t, wanted == "169.254.169.254 80");
}

void dns_over_tcp_to_any_server_comes_to_the_dns_listener(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "tcp", "8.8.8.8", "53", "question"};
  const bool sealed = t.seal();
  expect(t, sealed);
  const std::string wanted = wanted_by(t, Kind::dns_tcp, false);
  expect(t, wanted == "8.8.8.8 53");
}

template <class Test>
void answer_one_question(Test& t, bool ipv6) {
  const bool sealed = t.seal();
  expect(t, sealed);
  const SandboxListener* dns = t.told.listener(Kind::dns_udp, ipv6);
  expect(t, dns != nullptr);
  t.channel->go();
  char question[64];
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  ssize_t got = -1;
  t.turn_until([&] {
    got = recvfrom(dns->fd.get(), question, sizeof question, 0, reinterpret_cast<sockaddr*>(&from),
                   &size);
    return got >= 0 || t.told.over();
  });
  expect(t, got == 8);
  const ssize_t sent =
      sendto(dns->fd.get(), "the answer", 10, 0, reinterpret_cast<sockaddr*>(&from), size);
  expect(t, sent == 10);
  t.end();
  expect(t, t.said("answer: the answer"));
}

void a_question_to_a_hard_coded_resolver_is_ours_to_answer(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "udp", "8.8.8.8", "53", "question"};
  answer_one_question(t, false);
}
void a_question_to_a_resolver_over_ipv6_is_ours_to_answer(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "udp", "2001:4860:4860::8888", "53", "question"};
  answer_one_question(t, true);
}
void a_question_to_the_local_resolver_is_ours_to_answer(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "udp", "127.0.0.1", "53", "question"};
  answer_one_question(t, false);
}

void a_datagram_outside_is_refused_at_once(SandboxTest& t) {
  t.spec.command = {"sh", "-c",
                    "/run/moat/inside udp 1.1.1.1 443 x; /run/moat/inside udp 2606::1 443 x"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.output == "answer: ECONNREFUSED\nanswer: ECONNREFUSED\n");
}

void the_agents_own_servers_may_have_any_port(SandboxTest& t) {
  t.spec.command = {"sh", "-c",
                    "/run/moat/inside serve 127.0.0.1 443 & "
                    "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; "
                    "/run/moat/inside tcp 127.0.0.1 443 mine && exit 0; done; exit 1"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.said("answer: mine") && t.told.exited && t.told.exited->code == 0);
}

void without_nf_tables_the_listed_ports_are_listened_on(WithoutRedirect& t) {
  t.spec.command = {"sh", "-c",
                    "/run/moat/inside tcp 93.184.216.34 9 x; "
                    "/run/moat/inside tcp 93.184.216.34 8443 hello"};
  const bool sealed = t.seal();
  expect(t, sealed);
  expect(t, t.told.proved("ipv4") == "listed ports, no nf_tables");
  expect(t, t.told.listeners.size() == 10);
  t.channel->go();
  std::string wanted;
  t.turn_until([&] {
    for (const SandboxListener& one : t.told.listeners)
      if (one.kind == Kind::tcp && wanted.empty()) wanted = accept_and_answer(one);
    return t.told.over();
  });
  expect(t, wanted == "93.184.216.34 8443");
  expect(t, t.end() && t.output == "connect: ECONNREFUSED\nanswer: welcome\n");
}

void without_nf_tables_names_are_still_ours_to_answer(WithoutRedirect& t) {
  t.spec.command = {"/run/moat/inside", "udp", "127.0.0.1", "53", "question"};
  answer_one_question(t, false);
}

void the_commands_status_is_passed_on(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "exit", "42"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.told.started && t.told.exited && t.told.exited->code == 42);
  expect(t, WIFEXITED(t.bwrap_status) && WEXITSTATUS(t.bwrap_status) == 42);
}

void the_signal_that_ended_the_command_is_passed_on(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "die", "9"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.told.exited && t.told.exited->signal == SIGKILL);
  expect(t, WIFEXITED(t.bwrap_status) && WEXITSTATUS(t.bwrap_status) == 137);
}

void a_command_that_is_not_there_is_127(SandboxTest& t) {
  t.spec.command = {"no-such-command"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.told.failed && t.told.shell_status == 127 && !t.told.started);
  expect(t, t.told.failed->message.find("no-such-command: command not found") == 0);
  expect(t, WIFEXITED(t.bwrap_status) && WEXITSTATUS(t.bwrap_status) == 127);
}

void a_command_that_cannot_be_executed_is_126(SandboxTest& t) {
  t.spec.command = {"/usr"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.told.failed && t.told.shell_status == 126);
}

void a_workdir_that_is_not_there_is_named(SandboxTest& t) {
  t.spec.workdir = "/no/such";
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.told.failed && t.told.shell_status == 125);
  expect(t, t.told.failed->message.find("/no/such") == 0);
}

void a_script_without_an_interpreter_is_run_by_the_shell(SandboxTest& t) {
  t.spec.command = {"sh", "-c",
                    "printf 'echo by sh $1' > /tmp/script; chmod 755 /tmp/script; exec env -i "
                    "/usr/bin/sh /tmp/script x"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.said("by sh x"));
}

const char* const status_command =
    "grep -E '^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|SigBlk|SigIgn)' "
    "/proc/self/status; umask; id -un; echo home=$HOME; cat /etc/resolv.conf; "
    "cat /etc/hosts";

template <class Test>
void check_status(Test& t, const std::string& id) {
  t.spec.command = {"sh", "-c", status_command};
  const bool ran = t.run();
  expect(t, ran);
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigBlk", "SigIgn"})
    expect(t, t.said(std::string(set) + ":\t0000000000000000\n"));
  expect(t, t.said("Uid:\t" + id + "\t" + id + "\t" + id + "\t" + id + "\n"));
  expect(t, t.said("Gid:\t" + id + "\t" + id + "\t" + id + "\t" + id + "\n"));
  expect(t, t.said("NoNewPrivs:\t1\n"));
  expect(t, t.said("0022\n"));
  expect(t, t.said("nameserver 127.0.0.1\n"));
  expect(t, t.said("127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.0.1\tmoat\n"));
}

void the_command_has_no_capability_at_all(SandboxTest& t) {
  check_status(t, "1000");
  expect(t, t.said("\nagent\n"));
}
void nor_has_root(AsRootInside& t) {
  check_status(t, "0");
  expect(t, t.said("\nroot\n"));
}
void nor_has_an_ordinary_users(AsUser& t) {
  check_status(t, "1000");
}

template <class Test>
void attack_and_fail(Test& t) {
  // As a vault's key may lie there: in the session keyring that the sandbox's processes inherit.
  syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
  syscall(SYS_add_key, "user", "moat-test", "secret", 6, KEY_SPEC_SESSION_KEYRING);
  const bool kept =
      syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "moat-test", 0) >= 0;
  assert_true(kept);
  t.spec.command = {"/run/moat/inside", "attack", "/run/moat/init.sock"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.said("descriptors: 0 1 2\n"));
  for (const char* line :
       {"memory of init: EACCES", "environ of init: EACCES", "descriptor of init: EACCES",
        "root of init: EACCES", "vsock socket: EAFNOSUPPORT", "kernel crypto socket: EAFNOSUPPORT",
        "io_uring: ENOSYS", "key of the host: ENOKEY", "ptrace of init: EPERM", "lo down: EPERM",
        "raw socket: EPERM", "packet socket: EAFNOSUPPORT", "control socket: ECONNREFUSED",
        "lo down in a namespace of its own: EPERM", "alive: ok"})
    expect(t, t.said(line));
  expect(t, !t.said("sysctl: ok"));
}

void init_and_its_network_are_out_of_reach(SandboxTest& t) {
  attack_and_fail(t);
}
void also_for_root_inside(AsRootInside& t) {
  attack_and_fail(t);
}

void a_container_gets_the_same_seal(Container& t) {
  if (geteuid() != 0) return;
  t.spec.command = {"/run/moat/inside", "tcp", "93.184.216.34", "8443", "hello"};
  const bool sealed = t.seal();
  expect(t, sealed);
  const std::string wanted = wanted_by(t, Kind::tcp, false);
  expect(t, wanted == "93.184.216.34 8443");
}
void nor_has_a_containers_user(Container& t) {
  if (geteuid() == 0) check_status(t, "1000");
}
void nor_has_a_containers_root(Container& t) {
  t.spec.uid = t.spec.gid = 0;
  if (geteuid() == 0) check_status(t, "0");
}
constexpr const char* show_home =
    "cd; for f in .npmrc .config/gh/hosts.yml .mounted/a .linked/b; do echo $f; "
    "stat -c '%a %u' $f; cat $f; done 2>/dev/null; ls -A /tmp";

void put_files_into_the_home(SandboxTest& t) {
  t.spec.home_files = {{".npmrc", "token=a\n"},
                       {".config/gh/hosts.yml", "b: c\nd: e\n"},
                       {".mounted/a", "x"},
                       {".linked/b", "x"}};
  t.spec.env.emplace_back("HOME", t.spec.home);
  t.spec.command = {"sh", "-c", show_home};
}

void also_files_for_a_containers_user(Container& t) {
  if (geteuid() != 0) return;
  put_files_into_the_home(t);
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.said(".config/gh/hosts.yml\n600 1000\nb: c\n"));
}
void also_for_a_containers_user(Container& t) {
  if (geteuid() == 0) attack_and_fail(t);
}
void also_for_a_containers_root(Container& t) {
  t.spec.uid = t.spec.gid = 0;
  if (geteuid() == 0) attack_and_fail(t);
}
void a_containers_leftovers_end_as_well(Container& t) {
  if (geteuid() != 0) return;
  t.spec.command = {"sh", "-c",
                    "stat -c %u /home/agent; setsid sleep 600 & setsid sleep 600 & exit 3"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.told.exited && t.told.exited->code == 3 && t.output == "1000\n");
}

// A network namespace of its own that has an interface.
void enter_a_network_that_leads_somewhere() {
  ifreq request{};
  strcpy(request.ifr_name, "leak0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (unshare(CLONE_NEWNET) != 0) _exit(97);
  const int tun = open("/dev/net/tun", O_RDWR);
  if (tun < 0 || ioctl(tun, TUNSETIFF, &request) != 0 || ioctl(tun, TUNSETPERSIST, 1) != 0)
    _exit(96);
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  request.ifr_flags = IFF_UP;
  if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) _exit(95);
}

void an_interface_that_leads_out_ends_it_before_anything_is_changed(Container& t) {
  if (geteuid() != 0 || access("/dev/net/tun", W_OK) != 0) return;
  t.before_bwrap = enter_a_network_that_leads_somewhere;
  t.own_network = false;
  t.start();
  t.end();
  expect(t, t.told.failed && t.told.shell_status == 125 && !t.told.proof);
  expect(t, t.told.failed->message.find("interface leak0 is up") != std::string::npos);
}

void where_ipv6_is_off_the_proof_says_so(SandboxTest& t) {
  t.more_arguments = {"--cap-add", "CAP_SYS_ADMIN"};
  t.before_init =
      "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6; "
      "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
  t.spec.command = {"/run/moat/inside", "tcp", "2606:2800::1", "443", "hello"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.told.proved("ipv6") == "off" && t.told.listeners.size() == 3);
  expect(t, t.said("connect: E"));
}

// Address translation takes another source port where the one in use is in the way: two connections
// of the proof that happen to share a port are told apart all the same.
void the_proof_holds_where_its_ports_collide(SandboxTest& t) {
  t.more_arguments = {"--cap-add", "CAP_SYS_ADMIN"};
  t.before_init = "echo 40000 40001 > /proc/sys/net/ipv4/ip_local_port_range";
  const bool sealed = t.seal();
  expect(t, sealed);
  expect(t, t.told.proved("ipv6") == "every port by nf_tables");
}

void files_are_put_into_the_home(SandboxTest& t) {
  put_files_into_the_home(t);
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.output ==
                ".npmrc\n600 1000\ntoken=a\n.config/gh/hosts.yml\n600 1000\nb: c\nd: e\n"
                ".mounted/a\n600 1000\nx.linked/b\n600 1000\nx");
}

// What is there already, what is mounted, and where a link leads is not theirs.
void what_the_home_has_is_left_as_it_is(SandboxTest& t) {
  put_files_into_the_home(t);
  t.more_arguments = {"--dir", "/home", "--dir", "/home/agent", "--tmpfs", "/home/agent/.mounted"};
  t.before_init = "cd /home/agent; echo mine > .npmrc; ln -s /tmp .linked; ln -s /tmp/x .config";
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.said("\nmine\n.config") && !t.said("token=a") && !t.said("b: c"));
  expect(t, !t.said("x"));
}

// What is no store, and what a link makes of a mount, is not Java's to be replaced.
void java_stores_are_replaced_and_nothing_else(SandboxTest& t) {
  t.more_arguments = {"--tmpfs", "/mounted"};
  t.before_init =
      "for d in own text link; do mkdir -p /opt/$d/lib/security; done; cd /opt; "
      "printf '\\376\\355\\376\\355old' > own/lib/security/cacerts; "
      "printf 'a text' > text/lib/security/cacerts; "
      "printf '\\376\\355\\376\\355mine' > /mounted/file; "
      "ln -s /mounted/file link/lib/security/cacerts";
  t.spec.java_store = "a new store";
  t.spec.command = {"sh", "-c",
                    "cd /opt; for d in own text link; do cat $d/lib/security/cacerts; echo; done"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.output == "a new store\na text\n\xfe\xed\xfe\xedmine\n");
}

void init_hides_its_token(SandboxTest& t) {
  t.spec.command = {"sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.said("moat-init") && !t.said(t.channel->token()) && !t.said("init.sock"));
}

template <class Test>
void an_agents_socket_is_handed_out(Test& t) {
  t.spec.agent = "/run/moat/ssh-agent.sock";
  t.spec.known_hosts = "git.example.com ssh-ed25519 AAAA\n";
  t.spec.command = {"sh", "-c",
                    "cat /etc/ssh/ssh_known_hosts; stat -c '%a %u' /run/moat/ssh-agent.sock; "
                    "/run/moat/inside unix /run/moat/ssh-agent.sock hello"};
  const bool sealed = t.seal();
  expect(t, sealed);
  expect(t, t.told.proved("ssh-agent") == t.spec.agent);
  const SandboxListener* agent = t.told.listener(Kind::ssh_agent, false);
  expect(t, agent != nullptr);
  t.channel->go();
  Fd client;
  t.turn_until([&] {
    client = Fd(accept4(agent->fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return client || t.told.over();
  });
  expect(t, static_cast<bool>(client));
  char bytes[16];
  const ssize_t got = recv(client.get(), bytes, sizeof bytes, 0);
  expect(t, got == 5 && send(client.get(), "welcome", 7, MSG_NOSIGNAL) == 7);
  t.end();
  expect(t, t.output == t.spec.known_hosts + "600 1000\nanswer: welcome\n");
}
void a_users_agent(SandboxTest& t) {
  an_agents_socket_is_handed_out(t);
}
void an_agent_of_an_ordinary_users(AsUser& t) {
  an_agents_socket_is_handed_out(t);
}
void a_containers_agent(Container& t) {
  an_agents_socket_is_handed_out(t);
}

void known_hosts_of_the_image_are_kept(SandboxTest& t) {
  t.before_init = "mkdir /etc/ssh; printf old >/etc/ssh/ssh_known_hosts";
  t.spec.agent = "/run/moat/ssh-agent.sock";
  t.spec.known_hosts = "new\n";
  t.spec.command = {"cat", "/etc/ssh/ssh_known_hosts"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.output == "old\nnew\n");
}

void the_ca_is_trusted_by_file_and_by_variable(SandboxTest& t) {
  t.spec.env.emplace_back("CURL_CA_BUNDLE", "/my/own");
  t.spec.command = {"sh", "-c", "cat \"$SSL_CERT_FILE\"; echo $CURL_CA_BUNDLE; env | wc -l"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.said(t.spec.ca_pem));
  expect(t, t.said("\n/my/own\n"));
}

void a_bundle_that_exists_is_appended_to_once(SandboxTest& t) {
  t.spec.ca_bundles = {"/no/bundle.crt", "/etc/link.pem", "/etc/bundle.pem"};
  const std::string path = t.directory + "/inside";
  t.more_arguments = {"--file",          "9",         "/etc/bundle.pem", "--chmod",      "0444",
                      "/etc/bundle.pem", "--symlink", "bundle.pem",      "/etc/link.pem"};
  auto pipe = make_pipe();
  const bool written = pipe && write_all(pipe->second.get(), "old, without a newline");
  expect(t, written);
  pipe->second.reset();
  dup2(pipe->first.get(), 9);
  t.spec.command = {"sh", "-c", "cat /etc/bundle.pem; stat -c %a /etc/bundle.pem; echo $PIP_CERT"};
  const bool ran = t.run();
  close(9);
  expect(t, ran);
  expect(t, t.told.proved("ca") == "/etc/link.pem /etc/bundle.pem");
  expect(t, t.output == "old, without a newline\n" + t.spec.ca_pem + "444\n/etc/link.pem\n");
}

void a_read_only_root_is_named(SandboxTest& t) {
  t.more_arguments = {"--remount-ro", "/etc"};
  t.start();
  t.end();
  expect(t, t.told.failed && t.told.shell_status == 125);
  expect(t, t.told.failed->message.find("Read-only file system") != std::string::npos);
}

void signals_reach_the_command(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "wait"};
  const bool sealed = t.seal();
  expect(t, sealed);
  t.channel->go();
  const bool waiting = t.turn_until([&] { return t.said("waiting") || t.told.over(); });
  expect(t, waiting);
  t.channel->signal(SIGUSR1);
  const bool ended = t.end();
  expect(t, ended);
  expect(t, t.said("signal 10") && t.told.exited && t.told.exited->code == 40);
}

void what_the_command_leaves_behind_ends_with_it(SandboxTest& t) {
  t.spec.command = {"sh", "-c", "setsid sleep 600 & setsid sleep 600 & exit 3"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.told.exited && t.told.exited->code == 3);
}

void orphans_are_reaped(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "orphan"};
  const bool ran = t.run();
  expect(t, ran);
  expect(t, t.said("orphan reaped: ok"));
}

void a_port_inside_can_be_dialled(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "serve", "::1", "8080"};
  const bool sealed = t.seal();
  expect(t, sealed);
  t.channel->go();
  const bool serving = t.turn_until([&] { return t.said("serving") || t.told.over(); });
  expect(t, serving);
  std::optional<Error> refused;
  t.channel->dial(8081, [&](Result<Fd> fd) {
    if (!fd) refused = fd.error();
  });
  Fd connection;
  t.channel->dial(8080, [&](Result<Fd> fd) {
    if (fd) connection = std::move(*fd);
  });
  const bool answered = t.turn_until([&] { return refused && connection; });
  expect(t, answered);
  expect(t, refused->code == Errc::refused);
  const ssize_t sent = send(connection.get(), "from outside", 12, MSG_NOSIGNAL);
  expect(t, sent == 12);
  const bool ended = t.end();
  expect(t, ended);
  char bytes[64];
  const ssize_t got = recv(connection.get(), bytes, sizeof bytes, 0);
  expect(t, got == 12);
}

void the_sandbox_ends_with_its_supervisor(SandboxTest& t) {
  t.spec.command = {"sleep", "600"};
  const bool sealed = t.seal();
  expect(t, sealed);
  t.channel->go();
  const bool started = t.turn_until([&] { return t.told.started || t.told.over(); });
  expect(t, started);
  t.channel.reset();
  const bool gone = t.turn_until([&] { return t.bwrap_ended(); });
  expect(t, gone);
  expect(t, WIFEXITED(t.bwrap_status) && WEXITSTATUS(t.bwrap_status) == 137);
}

void it_ends_with_it_before_go_as_well(SandboxTest& t) {
  const bool sealed = t.seal();
  expect(t, sealed);
  t.channel.reset();
  const bool gone = t.turn_until([&] { return t.bwrap_ended(); });
  expect(t, gone);
}

// What happens to connections when the supervisor dies but nothing tells the sandbox.
void without_listeners_connections_are_refused(SandboxTest& t) {
  t.spec.command = {"/run/moat/inside", "tcp", "93.184.216.34", "443", "hello"};
  const bool sealed = t.seal();
  expect(t, sealed);
  t.told.listeners.clear();
  t.channel->go();
  const bool ended = t.end();
  expect(t, ended);
  expect(t, t.output == "connect: ECONNREFUSED\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  init_binary = argv[1];
  inside_binary = argv[2];
  if (system("bwrap --unshare-all --ro-bind / / true 2>/dev/null") != 0) {
    printf("1..0 # SKIP bwrap is not installed or may not make user namespaces here\n");
    return 0;
  }
  const CMUnitTest tests[] = {
      MOAT_TEST(SandboxTest, the_seal_is_proved_before_the_command_runs),
      MOAT_TEST(AsUser, an_ordinary_user_gets_the_same_seal),
      MOAT_TEST(SandboxTest, a_connection_to_any_port_comes_with_the_address_it_wanted),
      MOAT_TEST(SandboxTest, ipv6_is_no_way_around),
      MOAT_TEST(AsRootInside, the_metadata_address_comes_to_us_as_well),
      MOAT_TEST(SandboxTest, dns_over_tcp_to_any_server_comes_to_the_dns_listener),
      MOAT_TEST(SandboxTest, a_question_to_a_hard_coded_resolver_is_ours_to_answer),
      MOAT_TEST(SandboxTest, a_question_to_a_resolver_over_ipv6_is_ours_to_answer),
      MOAT_TEST(SandboxTest, a_question_to_the_local_resolver_is_ours_to_answer),
      MOAT_TEST(SandboxTest, a_datagram_outside_is_refused_at_once),
      MOAT_TEST(SandboxTest, the_agents_own_servers_may_have_any_port),
      MOAT_TEST(WithoutRedirect, without_nf_tables_the_listed_ports_are_listened_on),
      MOAT_TEST(WithoutRedirect, without_nf_tables_names_are_still_ours_to_answer),
      MOAT_TEST(SandboxTest, the_commands_status_is_passed_on),
      MOAT_TEST(SandboxTest, the_signal_that_ended_the_command_is_passed_on),
      MOAT_TEST(SandboxTest, a_command_that_is_not_there_is_127),
      MOAT_TEST(SandboxTest, a_command_that_cannot_be_executed_is_126),
      MOAT_TEST(SandboxTest, a_workdir_that_is_not_there_is_named),
      MOAT_TEST(SandboxTest, a_script_without_an_interpreter_is_run_by_the_shell),
      MOAT_TEST(SandboxTest, the_command_has_no_capability_at_all),
      MOAT_TEST(AsRootInside, nor_has_root),
      MOAT_TEST(AsUser, nor_has_an_ordinary_users),
      MOAT_TEST(SandboxTest, init_and_its_network_are_out_of_reach),
      MOAT_TEST(AsRootInside, also_for_root_inside),
      MOAT_TEST(Container, a_container_gets_the_same_seal),
      MOAT_TEST(Container, nor_has_a_containers_user),
      MOAT_TEST(Container, nor_has_a_containers_root),
      MOAT_TEST(Container, also_for_a_containers_user),
      MOAT_TEST(Container, also_for_a_containers_root),
      MOAT_TEST(Container, a_containers_leftovers_end_as_well),
      MOAT_TEST(Container, an_interface_that_leads_out_ends_it_before_anything_is_changed),
      MOAT_TEST(SandboxTest, where_ipv6_is_off_the_proof_says_so),
      MOAT_TEST(SandboxTest, java_stores_are_replaced_and_nothing_else),
      MOAT_TEST(SandboxTest, files_are_put_into_the_home),
      MOAT_TEST(SandboxTest, what_the_home_has_is_left_as_it_is),
      MOAT_TEST(Container, also_files_for_a_containers_user),
      MOAT_TEST(SandboxTest, the_proof_holds_where_its_ports_collide),
      MOAT_TEST(SandboxTest, init_hides_its_token),
      MOAT_TEST(SandboxTest, a_users_agent),
      MOAT_TEST(AsUser, an_agent_of_an_ordinary_users),
      MOAT_TEST(Container, a_containers_agent),
      MOAT_TEST(SandboxTest, known_hosts_of_the_image_are_kept),
      MOAT_TEST(SandboxTest, the_ca_is_trusted_by_file_and_by_variable),
      MOAT_TEST(SandboxTest, a_bundle_that_exists_is_appended_to_once),
      MOAT_TEST(SandboxTest, a_read_only_root_is_named),
      MOAT_TEST(SandboxTest, signals_reach_the_command),
      MOAT_TEST(SandboxTest, what_the_command_leaves_behind_ends_with_it),
      MOAT_TEST(SandboxTest, orphans_are_reaped),
      MOAT_TEST(SandboxTest, a_port_inside_can_be_dialled),
      MOAT_TEST(SandboxTest, the_sandbox_ends_with_its_supervisor),
      MOAT_TEST(SandboxTest, it_ends_with_it_before_go_as_well),
      MOAT_TEST(SandboxTest, without_listeners_connections_are_refused),
  };
  return cmocka_run_group_tests_name("runtime/moat-init", tests, nullptr, nullptr);
}
