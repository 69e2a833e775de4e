// What every engine does alike. One source; the engine under test is the first argument, moat-init
// the second, and for docker the image's name the third (its socket comes by DOCKER_HOST).

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "core/crypto.h"
#include "core/fd.h"
#include "core/text.h"
#include "runtime/engine.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;

namespace {

std::string engine_name = "bubblewrap";
std::string init_path;
std::string image;

constexpr Milliseconds enough = std::chrono::seconds(60);

// Keeps what it is told, and lets the command go as soon as it may.
struct Recorder : SandboxObserver {
  std::unique_ptr<Sandbox> sandbox;
  std::vector<SandboxListener> listeners;
  SealProof proof;
  bool sealed = false;
  bool started = false;
  std::string out;
  std::string err;
  std::optional<ExitStatus> exit;
  std::optional<Error> failure;
  int shell_status = 0;
  int after_the_end = 0;
  std::function<void()> on_first_output;

  [[nodiscard]] bool over() const { return exit || failure; }

  void on_sealed(std::vector<SandboxListener> made, const SealProof& proved) override {
    listeners = std::move(made);
    proof = proved;
    sealed = true;
    sandbox->go();
  }
  void on_started() override { started = true; }
  void on_output(OutputStream stream, std::string_view bytes) override {
    if (over()) ++after_the_end;
    (stream == OutputStream::out ? out : err).append(bytes);
    if (on_first_output) {
      const auto call = std::exchange(on_first_output, nullptr);
      call();
    }
  }
  void on_exit(ExitStatus status) override {
    if (over()) ++after_the_end;
    exit = status;
  }
  void on_failed(const Error& error, int status) override {
    if (over()) ++after_the_end;
    failure = error;
    shell_status = status;
  }
};

struct ConformanceTest {
  Loop loop;
  std::string directory;
  std::unique_ptr<Engine> engine;
  Recorder seen;
  SandboxSpec spec;
  std::string random;

  ConformanceTest() {
    char name[] = "/tmp/moat.XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    directory = name;
    for (const char* sub : {"/run", "/workspace", "/other"})
      if (mkdir((directory + sub).c_str(), 0700) != 0) throw std::runtime_error("mkdir");
    engine = make();
    spec.run_id = "test-" + hex(random_bytes(6));
    spec.name = "test";
    spec.run_directory = directory + "/run";
    spec.image = image;
    spec.mounts = {{directory + "/workspace", "/workspace", false},
                   {directory + "/other", "/mnt/other", true}};
    spec.uid = getuid();
    spec.gid = getgid();
  }
  ~ConformanceTest() {
    seen.sandbox.reset();
    bool swept = false;
    engine->remove_leftovers(spec.run_id, [&swept](const auto&) { swept = true; });
    test::turn_until(
        loop, [&] { return swept; }, enough);
    engine.reset();
    std::filesystem::remove_all(directory);
  }

  std::unique_ptr<Engine> make() {
    EngineOptions options;
    options.init_path = init_path;
    auto made = make_engine(loop, engine_name, options);
    if (!made) throw std::runtime_error(made.error().message);
    return std::move(*made);
  }
  bool is_docker() const { return engine_name == "docker"; }

  void start(std::vector<std::string> command) {
    spec.command = std::move(command);
    seen.sandbox = engine->create(spec, seen);
  }
  bool finish() {
    const bool over = test::turn_until(
        loop, [&] { return seen.over(); }, enough);
    if (over && seen.failure) print_error("# failed: %s\n", seen.failure->message.c_str());
    return over;
  }
  // To the end; the shell's status.
  int run(std::vector<std::string> command) {
    start(std::move(command));
    if (!finish()) return -1;
    return seen.exit ? seen.exit->shell() : seen.shell_status;
  }
  int shell(const char* script) { return run({"sh", "-c", script}); }
  void again() {
    remove();
    seen.sandbox.reset();
    seen.~Recorder();
    new (&seen) Recorder;
    spec.run_id = "test-" + hex(random_bytes(6));
  }
  bool remove() {
    std::optional<Result<void>> removed;
    seen.sandbox->remove([&](const auto& result) { removed = result; });
    return test::turn_until(
               loop, [&] { return removed.has_value(); }, enough) &&
           removed->has_value();
  }
  void put(const char* name, std::string_view bytes) {
    std::ofstream(directory + "/workspace/" + name, std::ios::binary) << bytes;
  }
  const std::string& noise(size_t size) { return random = random_bytes(size); }
};

void an_engine_that_works_says_so_and_has_a_version(ConformanceTest& t) {
  std::optional<Result<void>> ready;
  t.engine->ready([&](const auto& result) { ready = result; });
  const bool answered = test::turn_until(
      t.loop, [&] { return ready.has_value(); }, enough);
  assert_true(answered);
  const bool works = ready->has_value();
  if (!works) print_error("# %s\n", ready->error().message.c_str());
  assert_true(works);
  const bool has_version = !t.engine->version().empty() && t.engine->version()[0] <= '9';
  assert_true(has_version);
}

void an_exit_status_comes_through(ConformanceTest& t) {
  assert_int_equal(t.run({"true"}), 0);
  const bool told = t.seen.sealed && t.seen.started && t.seen.exit.has_value();
  assert_true(told);
  t.again();
  assert_int_equal(t.run({"false"}), 1);
  t.again();
  assert_int_equal(t.shell("exit 42"), 42);
}

void a_death_by_signal_comes_through(ConformanceTest& t) {
  assert_int_equal(t.shell("kill -TERM $$"), 128 + SIGTERM);
  const bool by_signal = t.seen.exit && t.seen.exit->signal == SIGTERM;
  assert_true(by_signal);
}

void the_seal_is_proved_and_listeners_are_handed_out(ConformanceTest& t) {
  assert_int_equal(t.run({"true"}), 0);
  assert_true(t.seen.proof.size() > 0);
  assert_true(t.seen.listeners.size() > 1);
}

void an_agents_socket_and_known_hosts_are_where_ssh_looks(ConformanceTest& t) {
  t.spec.ssh_agent = true;
  t.spec.known_hosts = "git.example.com ssh-ed25519 AAAA\n";
  const char* script =
      "cat /etc/ssh/ssh_known_hosts; stat -c '%a %u' $SSH_AUTH_SOCK; test -S $SSH_AUTH_SOCK";
  assert_int_equal(t.shell(script), 0);
  const bool right = t.seen.out == format("git.example.com ssh-ed25519 AAAA\n600 %u\n", t.spec.uid);
  assert_true(right);
  size_t agents = 0;
  for (const auto& listener : t.seen.listeners)
    agents += listener.kind == SandboxListener::Kind::ssh_agent ? 1 : 0;
  assert_int_equal(agents, 1);
  t.again();
  t.spec.ssh_agent = false;
  assert_int_equal(t.shell("test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/moat/ssh-agent.sock"), 0);
}

void binary_output_is_exact_and_the_two_streams_apart(ConformanceTest& t) {
  const std::string out = random_bytes(1024 * 1024), err = random_bytes(1024 * 1024);
  t.put("out", out);
  t.put("err", err);
  assert_int_equal(t.shell("cat out & cat err >&2; wait"), 0);
  const bool exact = t.seen.out == out && t.seen.err == err;
  assert_true(exact);
}

void a_very_short_life_loses_nothing(ConformanceTest& t) {
  const int lives = t.is_docker() ? 5 : 20;
  for (int life = 0; life < lives; ++life) {
    t.spec.env = {{"LIFE", std::to_string(life)}};
    assert_int_equal(t.shell("echo out $LIFE; echo err $LIFE >&2"), 0);
    const bool all =
        t.seen.out == format("out %d\n", life) && t.seen.err == format("err %d\n", life);
    assert_true(all);
    assert_int_equal(t.seen.after_the_end, 0);
    t.again();
  }
  assert_int_equal(t.run({"true"}), 0);
}

void stdin_goes_in_and_ends(ConformanceTest& t) {
  t.spec.open_stdin = true;
  const std::string& sent = t.noise(1024 * 1024);
  t.start({"cat"});
  size_t given = 0;
  bool closed = false;
  const auto feed = [&] {
    while (given < sent.size()) {
      const size_t size = std::min<size_t>(48 * 1024, sent.size() - given);
      const bool more = t.seen.sandbox->write_stdin(std::string_view(sent).substr(given, size));
      given += size;
      if (!more) return;
    }
    if (!closed) t.seen.sandbox->close_stdin();
    closed = true;
  };
  t.seen.sandbox->on_stdin_drained = feed;
  const bool started = test::turn_until(
      t.loop, [&] { return t.seen.started; }, enough);
  assert_true(started);
  feed();
  const bool over = t.finish();
  assert_true(over);
  const bool exact = t.seen.exit && t.seen.exit->shell() == 0 && t.seen.out == sent;
  assert_true(exact);
}

void stdin_that_nobody_reads_does_no_harm(ConformanceTest& t) {
  t.spec.open_stdin = true;
  t.start({"sh", "-c", "exec <&-; echo closed; sleep 0.2; echo end"});
  const bool started = test::turn_until(
      t.loop, [&] { return t.seen.started; }, enough);
  assert_true(started);
  for (int i = 0; i < 20; ++i) {
    (void)t.seen.sandbox->write_stdin(t.noise(64 * 1024));
    t.loop.turn(Milliseconds(5));
  }
  const bool over = t.finish();
  assert_true(over);
  const bool whole = t.seen.out == "closed\nend\n";
  assert_true(whole);
}

void a_command_may_have_a_terminal(ConformanceTest& t) {
  t.spec.terminal = TerminalSize{33, 111};
  t.start({"sh", "-c",
           "test -t 0 && test -t 1 && test -t 2 && tty && stty size; echo to-err >&2; "
           "read line </dev/tty; echo \"got $line\"; exit 5"});
  test::turn_until(
      t.loop, [&] { return t.seen.out.find("to-err") != std::string::npos || t.seen.over(); },
      enough);
  if (!t.seen.over()) t.seen.sandbox->write_stdin("hi\n");
  assert_true(t.finish());
  const std::string& out = t.seen.out;
  assert_true(out.starts_with("/dev/pts/0\r\n33 111\r\n"));
  assert_true(out.find("to-err\r\n") != std::string::npos);
  assert_true(out.ends_with("got hi\r\n"));
  assert_string_equal(t.seen.err.c_str(), "");
  assert_true(t.seen.exit && t.seen.exit->code == 5);
}

void a_terminal_has_a_keyboard_and_a_size(ConformanceTest& t) {
  t.spec.terminal = TerminalSize{};
  t.start({"sh", "-c", "trap 'stty size; echo again' WINCH; echo ready; while :; do read x; done"});
  const auto until = [&t](const char* text) {
    return test::turn_until(
        t.loop, [&] { return t.seen.out.find(text) != std::string::npos || t.seen.over(); },
        enough);
  };
  assert_true(until("ready"));
  t.seen.sandbox->resize({50, 132});
  assert_true(until("50 132"));
  t.seen.sandbox->write_stdin("\x03");
  assert_true(t.finish());
  assert_true(t.seen.exit && t.seen.exit->signal == SIGINT);
}

void a_terminal_loses_nothing(ConformanceTest& t) {
  t.spec.terminal = TerminalSize{24, 80};
  t.start({"sh", "-c", "stty -onlcr; head -c 3000000 /dev/zero | tr '\\0' 'x'; echo end"});
  t.seen.on_first_output = [&t] { t.seen.sandbox->pause_output(); };
  test::turn_until(
      t.loop, [&] { return !t.seen.out.empty(); }, enough);
  const size_t before = t.seen.out.size();
  for (int i = 0; i < 20; ++i) t.loop.turn(Milliseconds(5));
  assert_int_equal(t.seen.out.size(), before);
  t.seen.sandbox->resume_output();
  assert_true(t.finish());
  assert_int_equal(t.seen.out.size(), 3'000'004);
  assert_true(t.seen.out.ends_with("xend\n"));
}

void without_stdin_there_is_dev_null(ConformanceTest& t) {
  assert_int_equal(t.shell("cat; echo end"), 0);
  const bool empty = t.seen.out == "end\n";
  assert_true(empty);
}

void paused_output_waits_and_loses_nothing(ConformanceTest& t) {
  const std::string& big = t.noise(8 * 1024 * 1024);
  t.put("big", big);
  t.seen.on_first_output = [&t] { t.seen.sandbox->pause_output(); };
  t.start({"cat", "big"});
  const bool began = test::turn_until(
      t.loop, [&] { return !t.seen.out.empty(); }, enough);
  assert_true(began);
  const size_t so_far = t.seen.out.size();
  for (int i = 0; i < 20; ++i) t.loop.turn(Milliseconds(20));
  assert_int_equal(t.seen.out.size(), so_far);
  assert_false(t.seen.over());
  t.seen.sandbox->resume_output();
  const bool over = t.finish();
  assert_true(over);
  const bool exact = t.seen.out == big;
  assert_true(exact);
}

// Docker gives up on readers two seconds after the container's end.
void output_paused_beyond_the_end_of_the_command_is_kept(ConformanceTest& t) {
  const std::string& much = t.noise(1024 * 1024);
  t.put("much", much);
  t.seen.on_first_output = [&t] { t.seen.sandbox->pause_output(); };
  t.start({"cat", "much"});
  const bool began = test::turn_until(
      t.loop, [&] { return !t.seen.out.empty(); }, enough);
  assert_true(began);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(4);
  while (std::chrono::steady_clock::now() < end) t.loop.turn(Milliseconds(50));
  assert_false(t.seen.over());
  t.seen.sandbox->resume_output();
  const bool over = t.finish();
  assert_true(over);
  const bool exact = t.seen.exit && t.seen.out == much;
  assert_true(exact);
}

void a_command_that_is_not_there_is_127(ConformanceTest& t) {
  assert_int_equal(t.run({"no-such-command-anywhere"}), 127);
  const bool told = t.seen.failure && !t.seen.started &&
                    t.seen.failure->message.find("no-such-command") != std::string::npos;
  assert_true(told);
}

void a_command_that_is_not_executable_is_126(ConformanceTest& t) {
  t.put("plain", "not a program\n");
  assert_int_equal(t.run({"/workspace/plain"}), 126);
}

void the_command_starts_in_its_workdir(ConformanceTest& t) {
  assert_int_equal(t.run({"pwd"}), 0);
  const bool workspace = t.seen.out == "/workspace\n";
  assert_true(workspace);
  t.again();
  t.spec.workdir = "/no/such/directory";
  assert_int_equal(t.run({"pwd"}), 125);
  const bool named = t.seen.failure->message.find("/no/such/directory") != std::string::npos;
  assert_true(named);
}

void the_environment_is_what_was_asked_for(ConformanceTest& t) {
  t.spec.env = {{"ONE", "1"}, {"EMPTY", ""}, {"TEXT", "a b='c'\td"}};
  t.spec.ca_pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  assert_int_equal(t.run({"env"}), 0);
  std::map<std::string, std::string> got;
  std::istringstream lines(t.seen.out);
  for (std::string line; std::getline(lines, line);) {
    const size_t equals = line.find('=');
    got[line.substr(0, equals)] = line.substr(equals + 1);
  }
  for (const auto& [name, value] : t.spec.env) {
    const bool there = got[name] == value;
    assert_true(there);
    got.erase(name);
  }
  const bool default_path = got["PATH"].find("/usr/bin") != std::string::npos;
  assert_true(default_path);
  const bool home = got["HOME"] == (t.spec.uid == 0 ? "/root" : "/home/agent");
  assert_true(home);
  got.erase("PATH");
  got.erase("HOME");
  for (const auto& name : ca_environment) got.erase(name);
  for (const auto& [name, value] : got) print_error("# also %s=%s\n", name.c_str(), value.c_str());
  assert_int_equal(got.size(), 0);
}

void files_in_the_workspace_belong_to_the_right_user(ConformanceTest& t) {
  assert_int_equal(t.shell("echo hello > made"), 0);
  struct stat found {};
  assert_int_equal(stat((t.directory + "/workspace/made").c_str(), &found), 0);
  assert_int_equal(found.st_uid, getuid());
}

void the_command_has_the_uid_that_was_asked_for(ConformanceTest& t) {
  if (getuid() != 0 && t.is_docker()) return;
  t.spec.uid = 1234;
  t.spec.gid = 1235;
  chmod(t.directory.c_str(), 0755);
  chmod((t.directory + "/workspace").c_str(), 0777);
  assert_int_equal(t.shell("id -u; id -g; touch made; cd; touch home && pwd"), 0);
  const bool uid = t.seen.out.rfind("1234\n1235\n/home/agent\n", 0) == 0;
  if (!uid) print_error("# %s\n", t.seen.out.c_str());
  assert_true(uid);
  struct stat found {};
  assert_int_equal(stat((t.directory + "/workspace/made").c_str(), &found), 0);
  // bubblewrap maps the sandbox's user onto whoever runs moat.
  assert_int_equal(found.st_uid, t.is_docker() ? 1234 : getuid());
}

void files_are_put_into_the_commands_home(ConformanceTest& t) {
  if (getuid() != 0 && t.is_docker()) return;
  t.spec.uid = 1234;
  t.spec.gid = 1235;
  t.spec.workdir = "/";
  t.spec.home_files = {{".npmrc", "a\n"}, {".config/gh/hosts.yml", "b\n"}};
  assert_int_equal(t.shell("cd; cat .npmrc .config/gh/hosts.yml; stat -c '%a %u' .npmrc .config; "
                           "echo more >> .npmrc; mkdir .config/own"),
                   0);
  const bool as_asked = t.seen.out == "a\nb\n600 1234\n700 1234\n";
  if (!as_asked) print_error("# %s\n", t.seen.out.c_str());
  assert_true(as_asked);
}

void mounts_are_writable_only_where_asked(ConformanceTest& t) {
  std::ofstream(t.directory + "/other/given") << "given\n";
  assert_int_equal(t.shell("cat /mnt/other/given; touch /mnt/other/new 2>/dev/null; echo $?; "
                           "touch /workspace/new; echo $?; touch /usr/new 2>/dev/null; :"),
                   0);
  const bool as_asked = t.seen.out == "given\n1\n0\n";
  assert_true(as_asked);
  assert_int_not_equal(access((t.directory + "/other/new").c_str(), F_OK), 0);
  assert_int_equal(access((t.directory + "/workspace/new").c_str(), F_OK), 0);
}

void a_mount_that_cannot_be_is_refused_by_name(ConformanceTest& t) {
  t.spec.mounts.push_back({t.directory + "/missing", "/mnt/x", false});
  assert_int_equal(t.run({"true"}), 125);
  const bool named = t.seen.failure->message.find("/missing") != std::string::npos;
  assert_true(named);
}

void a_signal_reaches_the_command(ConformanceTest& t) {
  t.seen.on_first_output = [&t] { t.seen.sandbox->signal(SIGTERM); };
  assert_int_equal(
      t.shell("trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 1; done"), 7);
  const bool caught = t.seen.out == "ready\ncaught\n";
  assert_true(caught);
}

void kill_ends_everything(ConformanceTest& t) {
  t.seen.on_first_output = [&t] { t.seen.sandbox->kill(); };
  assert_int_equal(t.shell("trap '' TERM INT; sleep 1000 & echo ready; wait"), 128 + SIGKILL);
  const bool by_signal = t.seen.exit && t.seen.exit->signal == SIGKILL;
  assert_true(by_signal);
}

void kill_before_the_command_ran_is_an_end_too(ConformanceTest& t) {
  t.start({"sleep", "1000"});
  t.seen.sandbox->kill();
  const bool over = t.finish();
  assert_true(over);
  const bool by_signal = t.seen.exit && t.seen.exit->signal == SIGKILL && !t.seen.started;
  assert_true(by_signal);
}

void a_sandbox_may_be_destroyed_in_on_output(ConformanceTest& t) {
  bool gone = false;
  t.seen.on_first_output = [&] {
    t.seen.sandbox.reset();
    gone = true;
  };
  t.start({"sh", "-c", "echo one; sleep 0.1; echo two; sleep 1000"});
  const bool destroyed = test::turn_until(
      t.loop, [&] { return gone; }, enough);
  assert_true(destroyed);
  for (int i = 0; i < 20; ++i) t.loop.turn(Milliseconds(20));
  const bool silent = t.seen.out == "one\n" && !t.seen.over();
  assert_true(silent);
}

void what_a_destroyed_sandbox_leaves_is_removed_by_its_run(ConformanceTest& t) {
  t.start({"sleep", "1000"});
  const bool started = test::turn_until(
      t.loop, [&] { return t.seen.started; }, enough);
  assert_true(started);
  t.seen.sandbox.reset();
  t.engine.reset();  // takes back the request to remove it
  t.engine = t.make();
  for (const int left : {t.is_docker() ? 1 : 0, 0}) {
    std::optional<Result<int>> removed;
    t.engine->remove_leftovers(t.spec.run_id, [&](const auto& result) { removed = result; });
    const bool answered = test::turn_until(
        t.loop, [&] { return removed.has_value(); }, enough);
    assert_true(answered);
    assert_true(removed->has_value());
    assert_int_equal(**removed, left);
  }
}

void a_sandbox_can_be_removed_after_its_end(ConformanceTest& t) {
  assert_int_equal(t.run({"true"}), 0);
  assert_true(t.remove());
  std::optional<Result<int>> left;
  t.engine->remove_leftovers(t.spec.run_id, [&](const auto& result) { left = result; });
  const bool answered = test::turn_until(
      t.loop, [&] { return left.has_value(); }, enough);
  assert_true(answered);
  const bool none = left->has_value() && **left == 0;
  assert_true(none);
}

void no_descriptor_of_ours_is_inside(ConformanceTest& t) {
  assert_int_equal(t.shell("ls /proc/self/fd | tr '\\n' ' '"), 0);
  const bool three = t.seen.out == "0 1 2 3 ";  // 3 is the directory that ls reads
  if (!three) print_error("# %s\n", t.seen.out.c_str());
  assert_true(three);
}

// Opening is enough to be told by the kernel; nothing is written, should a test of this fail.
void what_the_kernel_lets_root_write_is_read_only(ConformanceTest& t) {
  assert_int_equal(t.shell("for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname "
                           "/proc/sys/vm/overcommit_memory /proc/sys/fs/suid_dumpable "
                           "/proc/sysrq-trigger /proc/irq/default_smp_affinity; do "
                           "(: >> $f) 2>/dev/null && echo $f; done; :"),
                   0);
  if (!t.seen.out.empty()) print_error("# writable: %s\n", t.seen.out.c_str());
  const bool none = t.seen.out.empty();
  assert_true(none);
}

// The run's directory, its name, and what lies beside the workspace stay outside.
void nothing_of_the_host_but_what_was_mounted_is_inside(ConformanceTest& t) {
  std::ofstream(t.directory + "/beside") << "outside\n";
  std::ofstream(t.directory + "/run/record.mdb") << "outside\n";
  const std::string script =
      "for f in " + t.directory + "/beside " + t.directory + "/run/record.mdb " + t.directory +
      " /run/moat/record.mdb /etc/shadow /etc/ssh /etc/ssl/private /root/.ssh /opt/* /srv/* "
      "/var/lib/dpkg /var/log/* /run/docker.sock /boot/*; do test ! -e $f || echo $f; done";
  assert_int_equal(t.run({"sh", "-c", script}), 0);
  if (!t.seen.out.empty()) print_error("# inside: %s\n", t.seen.out.c_str());
  const bool nothing = t.seen.out.empty();
  assert_true(nothing);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s bubblewrap|docker MOAT-INIT [IMAGE]\n", argv[0]);
    return 2;
  }
  engine_name = argv[1];
  init_path = std::filesystem::absolute(argv[2]);  // an engine mounts it
  if (argc > 3) image = argv[3];
  const CMUnitTest tests[] = {
      MOAT_TEST(ConformanceTest, an_engine_that_works_says_so_and_has_a_version),
      MOAT_TEST(ConformanceTest, an_exit_status_comes_through),
      MOAT_TEST(ConformanceTest, a_death_by_signal_comes_through),
      MOAT_TEST(ConformanceTest, the_seal_is_proved_and_listeners_are_handed_out),
      MOAT_TEST(ConformanceTest, an_agents_socket_and_known_hosts_are_where_ssh_looks),
      MOAT_TEST(ConformanceTest, binary_output_is_exact_and_the_two_streams_apart),
      MOAT_TEST(ConformanceTest, a_very_short_life_loses_nothing),
      MOAT_TEST(ConformanceTest, stdin_goes_in_and_ends),
      MOAT_TEST(ConformanceTest, stdin_that_nobody_reads_does_no_harm),
      MOAT_TEST(ConformanceTest, a_command_may_have_a_terminal),
      MOAT_TEST(ConformanceTest, a_terminal_has_a_keyboard_and_a_size),
      MOAT_TEST(ConformanceTest, a_terminal_loses_nothing),
      MOAT_TEST(ConformanceTest, without_stdin_there_is_dev_null),
      MOAT_TEST(ConformanceTest, paused_output_waits_and_loses_nothing),
      MOAT_TEST(ConformanceTest, output_paused_beyond_the_end_of_the_command_is_kept),
      MOAT_TEST(ConformanceTest, a_command_that_is_not_there_is_127),
      MOAT_TEST(ConformanceTest, a_command_that_is_not_executable_is_126),
      MOAT_TEST(ConformanceTest, the_command_starts_in_its_workdir),
      MOAT_TEST(ConformanceTest, the_environment_is_what_was_asked_for),
      MOAT_TEST(ConformanceTest, files_in_the_workspace_belong_to_the_right_user),
      MOAT_TEST(ConformanceTest, the_command_has_the_uid_that_was_asked_for),
      MOAT_TEST(ConformanceTest, files_are_put_into_the_commands_home),
      MOAT_TEST(ConformanceTest, mounts_are_writable_only_where_asked),
      MOAT_TEST(ConformanceTest, a_mount_that_cannot_be_is_refused_by_name),
      MOAT_TEST(ConformanceTest, a_signal_reaches_the_command),
      MOAT_TEST(ConformanceTest, kill_ends_everything),
      MOAT_TEST(ConformanceTest, kill_before_the_command_ran_is_an_end_too),
      MOAT_TEST(ConformanceTest, a_sandbox_may_be_destroyed_in_on_output),
      MOAT_TEST(ConformanceTest, what_a_destroyed_sandbox_leaves_is_removed_by_its_run),
      MOAT_TEST(ConformanceTest, a_sandbox_can_be_removed_after_its_end),
      MOAT_TEST(ConformanceTest, no_descriptor_of_ours_is_inside),
      MOAT_TEST(ConformanceTest, what_the_kernel_lets_root_write_is_read_only),
      MOAT_TEST(ConformanceTest, nothing_of_the_host_but_what_was_mounted_is_inside),
  };
  return cmocka_run_group_tests_name(argv[1], tests, nullptr, nullptr);
}
