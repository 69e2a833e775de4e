#include "command.h"

#include "core/log.h"
#include "core/text.h"

namespace moat {
namespace {

// clang-format off
const Option json_option = {"json", 0, nullptr, "Print JSON, for programs"};
// Of the commands of audit.
const Option key_option = {"key", 'k', "FILE",
    "Public key to trust instead of those in $MOAT_HOME"};
const Option output_option = {"output", 'o', "FILE", "Write there, whole or not at all; -: stdout"};
// Of run and of proxy: what the wall is told.
const Option grant_option = {"grant", 'g', "NAME",
    "Put this credential on requests to its hosts", true};
// Of whatever takes credentials out of the vault, or puts them there.
const Option profile_option = {"profile", 0, "NAME", "The profile of the vault to use"};
const Option name_option = {"name", 'n', "NAME", "Call the run this"};
const Option allow_host_option = {"allow-host", 0, "HOST[:PORT][ local]",
    "Let the policy pass HOST, which may be a private address if 'local' follows", true};
const Option connect_to_option = {"connect-to", 0, "HOST:PORT=ADDR:PORT",
    "Connect elsewhere for HOST:PORT; the name that is verified stays HOST", true};
const Option upstream_ca_option = {"upstream-ca", 0, "FILE",
    "Trust the roots in FILE (PEM) besides the system's", true};
const Option upstream_proxy_option = {"upstream-proxy", 0, "URL",
    "Connect through this HTTP proxy: http://[USER:PASSWORD@]HOST:PORT, or off"};

// In the order of the alphabet, which is the order of `moat help`.
const std::vector<Command> table = {
    {"audit", "[RUN]", "Verify what is on record of a run",
     {key_option, json_option},
     0, 1, false, true, cmd_audit},
    {"audit consistency", "CHECKPOINT-FILE [RUN]",
     "Prove that nothing under an older checkpoint was changed",
     {key_option, output_option, json_option},
     1, 2, false, true, cmd_audit_consistency},
    {"audit export", "[RUN]", "Write a record, or a stretch of it, as a file that proves itself",
     {output_option,
      {"from", 0, "SEQ", "The first record, instead of record 0"},
      {"to", 0, "SEQ", "The last record, instead of the last that a checkpoint covers"},
      json_option},
     0, 1, false, true, cmd_audit_export},
    {"audit key", "", "Print the public key that records are verified with",
     {{"rotate", 0, nullptr, "Sign with a new key from now on, and keep the old public key"},
      json_option},
     0, 0, false, true, cmd_audit_key},
    {"audit prove", "SEQ [RUN]", "Prove that a record is in the tree that was signed",
     {output_option, json_option},
     1, 2, false, true, cmd_audit_prove},
    {"audit show", "[RUN]", "Print the audit records, a line each",
     {{"from", 0, "SEQ", "The first record"},
      {"to", 0, "SEQ", "The last record"},
      {"type", 0, "TYPE", "Only records of this type"},
      json_option},
     0, 1, false, true, cmd_audit_show},
    {"audit verify", "FILE", "Verify a bundle or a proof, with the public key alone",
     {{"key", 'k', "FILE", "The public key to trust"},
      {"old", 0, "FILE", "The older checkpoint that a consistency proof begins at"},
      json_option},
     1, 1, false, false, cmd_audit_verify},
    {"audit watch", "[RUN]", "Print the heads of the tree as they are signed",
     {json_option},
     0, 1, false, true, cmd_audit_watch},
    {"grant", "PROVIDER", "Obtain, check and keep a credential",
     {{"key", 0, "FILE", "Of ssh:HOST: log in with the private key in FILE"},
      {"fingerprint", 0, "SHA256:...", "Of ssh:HOST: log in with this key of the SSH agent's"},
      {"host-key", 0, "SHA256:...", "Of ssh:HOST: the host is who has this key", true},
      {"token-stdin", 0, nullptr, "Read the token from standard input"},
      {"no-check", 0, nullptr, "Keep the token without trying it"},
      {"host", 0, "HOST", "The service's own server, where it is not the public one"},
      {"client-id", 0, "ID", "OAuth client for the device flow"},
      {"device-url", 0, "URL", "Where the device flow asks for a code"},
      {"token-url", 0, "URL", "Where the device flow asks for the token"},
      {"check-url", 0, "URL", "What the token is tried on"},
      {"aws-profile", 0, "NAME", "aws: the profile of AWS's own files to take keys from"},
      {"role", 0, "ARN", "aws: the role that each run assumes with the keys"},
      {"external-id", 0, "ID", "aws: what the role's owner wants to hear"},
      {"session-duration", 0, "SECONDS", "aws: how long keys of the role are good (3600)"},
      {"region", 0, "REGION", "aws: the region that programs in the sandbox use"},
      {"upstream-ca", 0, "FILE", "Trust the roots in FILE (PEM) besides the system's"},
      {"connect-to", 0, "HOST:PORT=ADDR:PORT", "Connect elsewhere for HOST:PORT", true},
      profile_option,
      json_option},
     0, 1, false, false, cmd_grant},
    {"grant list", "", "List the stored credentials",
     {profile_option, json_option}, 0, 0, false, false, cmd_grant_list},
    {"grant providers", "", "List the services whose credentials moat knows",
     {json_option},
     0, 0, false, false, cmd_grant_providers},
    {"grant rekey", "", "Seal what is stored with a new key",
     {json_option}, 0, 0, false, false, cmd_grant_rekey},
    {"grant show", "CREDENTIAL", "Show what is known of a stored credential",
     {profile_option, json_option}, 1, 1, false, false, cmd_grant_show},
    {"help", "[COMMAND|config]", "Explain a command, or the keys of agent.yaml",
     {}, 0, 2, false, false, cmd_help},
    {"list", "", "List the runs on record, newest first",
     {{"quiet", 'q', nullptr, "Print the ids only"},
      json_option},
     0, 0, false, true, cmd_list},
    {"logs", "[RUN]", "Print the output of a run",
     {{"follow", 'f', nullptr, "Go on until the run ends"},
      {"tail", 'n', "COUNT", "Only the last COUNT lines"},
      {"since", 0, "TIME", "Only what is newer: 10m, 1h30m, or 2026-01-31T12:00:00Z"},
      {"until", 0, "TIME", "Only what is older"},
      {"stdout", 0, nullptr, "Only what went to standard output"},
      {"stderr", 0, nullptr, "Only what went to standard error"},
      {"timestamps", 't', nullptr, "Begin each line with its time"},
      json_option},
     0, 1, false, true, cmd_logs},
    {"proxy", "", "Be the proxy alone, without a sandbox",
     {{"listen", 'l', "ADDRESS:PORT|unix:PATH", "Where to listen; port 0 picks one", true},
      {"ca-out", 0, "FILE", "Write the CA's certificate there, for the clients"},
      {"policy", 0, "FILE", "What may be reached: the keys of 'network', as in agent.yaml"},
      grant_option,
      profile_option,
      {"header", 0, "HOST=NAME: VALUE",
       "Set a header on requests to HOST; VALUE ends in env://VARIABLE or file://PATH", true},
      name_option,
      allow_host_option,
      connect_to_option,
      upstream_ca_option,
      upstream_proxy_option,
      {"auth", 0, nullptr, "Ask for a password everywhere, not only beyond this machine"},
      {"auth-file", 0, "FILE", "The passwords: lines of USER:PASSWORD; asked for everywhere"}},
     0, 0, false, true, cmd_proxy},
    {"revoke", "CREDENTIAL...", "Forget stored credentials",
     {profile_option, json_option}, 1, -1, false, false, cmd_revoke},
    {"run", "[WORKSPACE] [-- COMMAND...]", "Run a command in a sealed sandbox",
     {grant_option,
      profile_option,
      {"env", 'e', "NAME[=VALUE]", "Set a variable; without VALUE, as it is here", true},
      {"secret", 0, "NAME=SOURCE", "Set a variable to a secret of the host's, which the sandbox sees",
       true},
      {"mount", 'm', "SOURCE:TARGET[:ro]", "Mount a file or directory of the host", true},
      name_option,
      {"runtime", 0, "ENGINE", "docker or bubblewrap, instead of what is found"},
      allow_host_option,
      connect_to_option,
      upstream_ca_option,
      upstream_proxy_option,
      {"ssh-allow-unbound", 0, nullptr,
       "Sign for SSH clients that do not say for which host"},
      {"trust-config", 0, nullptr,
       "Obey agent.yaml where it adds roots, redirections, local hosts, mounts or secrets"},
      {"timeout", 0, "DURATION", "Stop the command after this long, such as 90s or 1h30m"},
      {"workdir", 'w', "DIRECTORY", "Start the command there, in the sandbox"},
      {"detach", 'd', nullptr, "Print the run's id and leave it running"},
      {"interactive", 'i', nullptr,
       "Pass on standard input; from a terminal, with one of the command's own"},
      {"tty", 't', nullptr, "Give the command a terminal of its own"},
      {"no-tty", 'T', nullptr, "Give it none, though --interactive is on a terminal"}},
     0, 1, true, true, cmd_run},
    {"stop", "RUN...", "End runs, and keep what is on record of them",
     {{"time", 't', "SECONDS", "How long a run may take to end by itself (10)"}},
     1, -1, false, true, cmd_stop},
    {"trace", "[RUN]", "Show what a run did, and when",
     {{"network", 0, nullptr, "The requests it made, instead of its stages"},
      {"verbose", 'v', nullptr, "Requests with headers, bodies, addresses and times"},
      {"host", 0, "PATTERN", "Only requests to such hosts: *.example.com", true},
      {"method", 0, "METHOD", "Only requests with this method", true},
      {"status", 0, "STATUS", "Only requests answered so: 404, 4xx or 200-299", true},
      {"grant", 0, "NAME", "Only requests that this credential was put on", true},
      {"request", 0, "ID", "Only the request with this id", true},
      {"refused", 0, nullptr, "Only requests that were refused"},
      {"follow", 'f', nullptr, "Go on until the run ends"},
      {"har", 0, "FILE", "Write the requests as an HTTP archive; - is standard output"},
      {"otlp", 0, "FILE|URL", "Write or send stages and requests as OpenTelemetry spans"},
      {"upstream-ca", 0, "FILE", "Trust the roots in FILE (PEM) besides the system's, for URL"},
      json_option},
     0, 1, false, true, cmd_trace},
    {"version", "", "Print the version",
     {json_option}, 0, 0, false, false, cmd_version},
};
// clang-format on

}  // namespace

const std::vector<Command>& commands() {
  return table;
}

const Command* find_command(std::string_view name) {
  for (const Command& command : table) {
    if (name == command.name) return &command;
  }
  return nullptr;
}

const Command* find_command(const std::vector<std::string>& words, size_t& taken) {
  taken = 2;
  const Command* command = words.size() < 2 ? nullptr : find_command(words[0] + " " + words[1]);
  if (command != nullptr) return command;
  taken = 1;
  return words.empty() ? nullptr : find_command(words[0]);
}

std::string_view first_word(const Command& command) {
  const std::string_view name = command.name;
  return name.substr(0, name.find(' '));
}

Error unknown_command(std::string_view name) {
  std::vector<std::string_view> names;
  names.reserve(table.size());
  for (const Command& command : table) names.emplace_back(command.name);
  const std::string shown = printable(name.substr(0, 64));
  if (const auto near = nearest(name, names))
    return error(Errc::invalid, "there is no command '%s', did you mean '%s'?", shown.c_str(),
                 std::string(*near).c_str());
  return error(Errc::invalid, "there is no command '%s'; 'moat help' lists those there are",
               shown.c_str());
}

int complain(const Error& error, int status) {
  log(Level::error, "%s", error.message.c_str());
  return status;
}

}  // namespace moat
