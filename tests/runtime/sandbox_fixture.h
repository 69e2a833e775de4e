// A real moat-init in a real sandbox of bwrap's, with an InitChannel to it; and what it told.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/loop.h"
#include "runtime/init_channel.h"

namespace moat::test {

inline std::string init_binary;    // set by main() from the arguments
inline std::string inside_binary;  // tests/runtime/inside.c

struct Recorder : runtime::InitObserver {
  std::vector<runtime::SandboxListener> listeners;
  std::optional<runtime::SealProof> proof;
  bool started = false;
  std::optional<Error> failed;
  int shell_status = 0;
  std::optional<ExitStatus> exited;
  std::optional<Error> lost;

  void on_sealed(std::vector<runtime::SandboxListener> all,
                 const runtime::SealProof& seal) override {
    listeners = std::move(all);
    proof = seal;
  }
  void on_started(Fd /*terminal*/) override { started = true; }
  void on_failed(const Error& error, int status) override {
    failed = error;
    shell_status = status;
  }
  void on_exited(ExitStatus status) override { exited = status; }
  void on_lost(const Error& error) override { lost = error; }

  [[nodiscard]] bool over() const { return failed || exited || lost; }
  [[nodiscard]] std::string proved(const std::string& name) const {
    std::string all;
    if (!proof) return all;
    for (const auto& [its_name, value] : *proof)
      if (its_name == name) all += (all.empty() ? "" : "\n") + value;
    return all;
  }
  [[nodiscard]] const runtime::SandboxListener* listener(runtime::SandboxListener::Kind kind,
                                                         bool ipv6) const {
    for (const auto& one : listeners)
      if (one.kind == kind && one.ipv6 == ipv6) return &one;
    return nullptr;
  }
};

struct SandboxTest {
  Loop loop;
  Recorder told;
  std::string directory;
  std::string output;  // of the command, both streams
  runtime::InitSpec spec;
  std::vector<std::string> more_arguments;  // for bwrap
  bool user_namespace = true;               // false: as a container engine does it, as root
  bool own_network = true;
  std::string before_init;             // a shell command, run inside first
  std::function<void()> before_bwrap;  // in the process that becomes it
  uid_t host_uid = geteuid();          // whom bwrap runs as
  std::unique_ptr<runtime::InitChannel> channel;
  pid_t bwrap = 0;
  int bwrap_status = -1;
  Fd out;

  SandboxTest() {
    char pattern[] = "/tmp/moat-init-XXXXXX";
    if (mkdtemp(pattern) == nullptr) throw std::runtime_error("mkdtemp");
    directory = pattern;
    spec.command = {"/run/moat/inside", "exit", "0"};
    spec.env = {{"PATH", "/usr/bin:/bin"}};
    spec.uid = spec.gid = 1000;
    spec.home = "/home/agent";
    spec.ca_pem = "-----BEGIN CERTIFICATE-----\nmoat\n-----END CERTIFICATE-----\n";
    spec.ca_bundles = runtime::ca_bundle_paths;
    spec.ports = {80, 443, 8443};
    spec.nest = true;
  }
  ~SandboxTest() {
    channel.reset();
    if (bwrap > 0 && bwrap_status < 0) {
      kill(bwrap, SIGKILL);
      waitpid(bwrap, nullptr, 0);
    }
    for (const char* name : {"/init.sock", "/moat-init", "/inside"})
      unlink((directory + name).c_str());
    rmdir(directory.c_str());
  }

  template <class Done>
  bool turn_until(Done done, int seconds = 10) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      loop.turn(Milliseconds(5));
      drain();
    }
    return true;
  }

  void copy(const std::string& from, const std::string& to) {
    const std::string command = "cp '" + from + "' '" + to + "' && chmod 755 '" + to + "'";
    if (system(command.c_str()) != 0) throw std::runtime_error("cp");
  }

  // Starts bwrap with moat-init as its first process. Everything else is the loop's.
  void start() {
    copy(init_binary, directory + "/moat-init");
    copy(inside_binary, directory + "/inside");
    if (host_uid != geteuid() && chown(directory.c_str(), host_uid, host_uid) != 0)
      throw std::runtime_error("chown");
    auto made = runtime::InitChannel::create(loop, directory, spec, told);
    if (!made) throw std::runtime_error(made.error().message);
    channel = std::move(*made);
    std::vector<std::string> args = {"bwrap", "--as-pid-1", "--die-with-parent"};
    const auto add = [&args](std::initializer_list<std::string> more) {
      args.insert(args.end(), more);
    };
    add({"--unshare-pid", "--unshare-ipc", "--unshare-uts"});
    if (own_network) add({"--unshare-net"});
    if (user_namespace) add({"--unshare-user", "--uid", "0", "--gid", "0"});
    for (const std::string& name : user_namespace ? std::vector<std::string>{"NET_ADMIN", "SETFCAP"}
                                                  : runtime::init_capabilities)
      add({"--cap-add", "CAP_" + name});
    add({"--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib",
         "/lib", "--symlink", "usr/lib64", "/lib64", "--tmpfs", "/etc", "--tmpfs", "/tmp"});
    add({"--proc", "/proc", "--dev", "/dev", "--dir", "/run", "--dir", "/run/moat"});
    for (const std::string name : {"moat-init", "inside", "init.sock"})
      add({"--ro-bind", directory + "/" + name, "/run/moat/" + name});
    args.insert(args.end(), more_arguments.begin(), more_arguments.end());
    add({"--"});
    if (!before_init.empty()) add({"sh", "-c", before_init + "; exec \"$@\"", "sh"});
    add({"/run/moat/moat-init", "/run/moat/init.sock", channel->token()});
    std::vector<char*> argv;
    for (std::string& one : args) argv.push_back(one.data());
    argv.push_back(nullptr);

    auto pipe = make_pipe();
    if (!pipe) throw std::runtime_error("pipe");
    bwrap = fork();
    if (bwrap == 0) {
      if (host_uid != geteuid() && (setgid(host_uid) != 0 || setuid(host_uid) != 0)) _exit(99);
      if (before_bwrap) before_bwrap();
      dup2(open("/dev/null", O_RDONLY), 0);
      dup2(pipe->second.get(), 1);
      dup2(pipe->second.get(), 2);
      execvp("bwrap", argv.data());
      _exit(98);
    }
    out = std::move(pipe->first);
    if (!set_non_blocking(out.get())) throw std::runtime_error("pipe");
  }

  void drain() {
    char bytes[4096];
    while (out) {
      const ssize_t got = read(out.get(), bytes, sizeof bytes);
      if (got <= 0) break;
      output.append(bytes, static_cast<size_t>(got));
    }
  }

  bool seal() {
    start();
    return turn_until([&] { return told.proof || told.over(); }) && told.proof;
  }

  // Seals, runs, and waits for the end of it, bwrap's too.
  bool run() {
    if (!seal()) return false;
    channel->go();
    return end();
  }
  bool end() {
    return turn_until([&] { return told.over() && bwrap_ended(); });
  }

  bool bwrap_ended() {
    int status = 0;
    if (bwrap_status < 0 && waitpid(bwrap, &status, WNOHANG) == bwrap) bwrap_status = status;
    drain();
    return bwrap_status >= 0;
  }

  [[nodiscard]] bool said(std::string_view text) const {
    return output.find(text) != std::string::npos;
  }

  // What went wrong, for print_error.
  [[nodiscard]] std::string story() const {
    std::string all = "output: " + output;
    if (told.failed) all += "\nfailed: " + told.failed->message;
    if (told.lost) all += "\nlost: " + told.lost->message;
    return all;
  }
};

}  // namespace moat::test
