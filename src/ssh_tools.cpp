#include "ssh_tools.h"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <utility>

#include "core/fd.h"
#include "core/secret.h"
#include "core/text.h"
#include "core/unix_socket.h"
#include "known_hosts.h"
#include "proxy/ssh_agent.h"
#include "proxy/ssh_agent_client.h"

namespace moat {
namespace {

using proxy::SshAgentMessage;

constexpr Milliseconds agent_limit{5'000};
constexpr Milliseconds tool_limit{20'000};
constexpr Milliseconds person_limit{5 * 60'000};  // to type a passphrase
constexpr size_t max_output = 256 * 1024;
constexpr size_t most_keys = 1024;
constexpr size_t max_key_file = 64 * 1024;
constexpr size_t max_file = 16 * 1024 * 1024;  // of known_hosts
constexpr const char* socket_name = "keys.sock";

Error tool_error(const char* program, const CommandOutput& output) {
  std::string words = printable(trim(std::string_view(output.err).substr(0, 500)));
  if (words.empty())
    words = output.status.signal != 0 ? format("ended by signal %d", output.status.signal)
                                      : format("ended with status %d", output.status.code);
  return error(Errc::refused, "%s: %s", program, words.c_str());
}

// One line, or several keys: those of them that can be read.
std::vector<SshPublicKey> keys_in(std::string_view text) {
  std::vector<SshPublicKey> keys;
  for (const std::string_view line : split(text, '\n')) {
    if (auto key = parse_ssh_public_key(line); key && keys.size() < most_keys)
      keys.push_back(std::move(*key));
  }
  return keys;
}

std::vector<std::string> known_hosts_files() {
  std::vector<std::string> files;
  if (const char* home = getenv("HOME"); home != nullptr && *home == '/') {
    files.push_back(std::string(home) + "/.ssh/known_hosts");
    files.push_back(std::string(home) + "/.ssh/known_hosts2");
  }
  files.emplace_back("/etc/ssh/ssh_known_hosts");
  files.emplace_back("/etc/ssh/ssh_known_hosts2");
  return files;
}

}  // namespace

Result<std::vector<SshPublicKey>> parse_identities(std::string_view message) {
  SshReader reader(message);
  const bool is_answer = reader.byte() == static_cast<uint8_t>(SshAgentMessage::identities_answer);
  const uint32_t count = reader.number();
  std::vector<SshPublicKey> keys;
  for (uint32_t i = 0; i < count && i < most_keys && reader.good(); ++i) {
    SshPublicKey key;
    key.blob = reader.string();
    key.comment = printable(reader.string());
    key.type = ssh_type(key.blob);
    if (reader.good() && !key.type.empty()) keys.push_back(std::move(key));
  }
  if (!is_answer || !reader.done())
    return error(Errc::invalid, "the agent does not answer what an agent answers");
  return keys;
}

Result<std::string> agent_of_environment() {
  const char* path = getenv("SSH_AUTH_SOCK");
  if (path == nullptr || *path != '/')
    return error(Errc::not_found, "there is no SSH agent here: SSH_AUTH_SOCK is not set");
  return std::string(path);
}

Result<std::vector<SshPublicKey>> keys_of_agent(const std::string& path) {
  Loop loop;
  auto client = proxy::SshAgentClient::connect(loop, path);
  if (!client)
    return error(Errc::not_found, "there is no SSH agent here: %s", client.error().message.c_str());
  std::optional<Result<std::string>> answer;
  const std::string question(1, static_cast<char>(SshAgentMessage::request_identities));
  (*client)->ask(question, agent_limit, [&](const Result<std::string>& got) {
    answer.emplace(got);
    loop.stop();
  });
  loop.run();
  if (!answer) return error(Errc::closed, "the SSH agent has not answered");
  if (!*answer) return answer->error();
  return parse_identities(**answer);
}

std::optional<SshPublicKey> public_half(std::string_view private_key) {
  constexpr std::string_view begin = "-----BEGIN OPENSSH PRIVATE KEY-----";
  constexpr std::string_view end = "-----END OPENSSH PRIVATE KEY-----";
  const size_t from = private_key.find(begin);
  const size_t to = private_key.find(end);
  if (from == std::string_view::npos || to == std::string_view::npos || to < from) return {};
  std::string packed;
  packed.reserve(private_key.size());
  for (const char c : private_key.substr(from + begin.size(), to - from - begin.size())) {
    if (c != '\n' && c != '\r') packed += c;
  }
  auto bytes = from_base64(packed);
  wipe(packed);
  if (!bytes) return {};
  SshPublicKey key;
  constexpr std::string_view magic("openssh-key-v1\0", 15);
  if (bytes->starts_with(magic)) {
    SshReader reader(std::string_view(*bytes).substr(magic.size()));
    for (int i = 0; i < 3; ++i) (void)reader.string();  // cipher, derivation, its options
    const bool one = reader.number() == 1;
    const std::string_view blob = reader.string();
    if (one && reader.good()) key.blob = blob;
  }
  wipe(*bytes);
  key.type = ssh_type(key.blob);
  if (key.type.empty()) return {};
  return key;
}

Result<SshPublicKey> public_key_of_file(const std::string& path) {
  auto text = read_file(path, max_key_file);
  if (!text) return text.error();
  auto key = public_half(*text);
  wipe(*text);
  if (key) return std::move(*key);
  // Of older formats, which have the public half under the passphrase as well.
  auto output = run_command({{"ssh-keygen", "-y", "-f", path}, {}, false, {}, {}, {}}, person_limit,
                            max_output);
  if (!output) return output.error();
  if (output->status.shell() != 0)
    return tool_error("ssh-keygen", *output).in(printable(path) + " cannot be used");
  auto keys = keys_in(output->out);
  if (keys.size() != 1)
    return error(Errc::invalid, "%s holds no key of SSH's", printable(path).c_str());
  return std::move(keys.front());
}

Result<std::vector<SshPublicKey>> known_host_keys(const SshTarget& target) {
  std::string all;
  for (const std::string& file : known_hosts_files()) {
    const auto text = read_file(file, max_file);
    if (!text && text.error().code != Errc::not_found) return text.error();
    if (text) all += *text + "\n";
  }
  // As ssh(1) does: under the name with the port first, then under the name alone.
  auto keys = parse_known_hosts(all, target.known_as());
  return keys.empty() ? parse_known_hosts(all, target.host) : keys;
}

Result<std::vector<SshPublicKey>> shown_host_keys(const SshTarget& target) {
  auto output =
      run_command({{"ssh-keyscan", "-T", "5", "-p", std::to_string(target.port), "--", target.host},
                   {},
                   false,
                   {},
                   {},
                   {}},
                  tool_limit, max_output);
  if (!output) return output.error();
  auto keys = parse_known_hosts(output->out, target.known_as());
  if (keys.empty()) return tool_error("ssh-keyscan", *output);
  return keys;
}

Result<std::unique_ptr<PrivateSshAgent>> PrivateSshAgent::start(Loop& loop,
                                                                const std::string& directory) {
  std::unique_ptr<PrivateSshAgent> agent(new PrivateSshAgent(directory));
  ChildSpec spec;
  // By a relative name, for the path may be longer than a socket's may be.
  spec.argv = {"ssh-agent", "-D", "-a", socket_name};
  spec.directory = directory;
  spec.new_session = true;  // so that Ctrl-C is not for it
  // Debian's has a setgid bit, against being traced, which it also sees to itself.
  spec.no_new_privileges = true;
  spec.die_with_parent = true;
  auto child = Child::start(loop, spec, [](ExitStatus) {});
  if (!child) return child.error().in("an agent for the key in a file");
  agent->child_ = std::move(*child);
  // It says nowhere else when it is ready.
  const auto end = std::chrono::steady_clock::now() + agent_limit;
  while (!connect_unix_now(agent->path())) {
    if (std::chrono::steady_clock::now() > end)
      return error(Errc::timeout, "ssh-agent does not listen in %s", directory.c_str());
    poll(nullptr, 0, 2);
  }
  return agent;
}

PrivateSshAgent::~PrivateSshAgent() {
  unlink(path().c_str());
}

std::string PrivateSshAgent::path() const {
  return directory_ + "/" + socket_name;
}

Result<void> PrivateSshAgent::add(const std::string& key_file) {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("SSH_AUTH_SOCK="))
      environment.emplace_back(*variable);
  }
  environment.push_back(std::string("SSH_AUTH_SOCK=") + socket_name);
  CommandSpec spec;
  spec.argv = {"ssh-add", "-q", "--", key_file};
  spec.environment = std::move(environment);
  spec.directory = directory_;
  auto output = run_command(std::move(spec), person_limit, max_output);
  if (!output) return output.error();
  if (output->status.shell() != 0)
    return tool_error("ssh-add", *output).in(printable(key_file) + " cannot be used");
  return {};
}

}  // namespace moat
