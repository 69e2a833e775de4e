#include "store/secret_service.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.h"

namespace moat::store {
namespace {

constexpr Milliseconds limit{60'000};
constexpr size_t max_output = 4096;
constexpr size_t longest_words = 200;

using Words = std::vector<std::string>;

// By these the item is found again.
void add_attributes(Words& words, const std::string& name) {
  words.insert(words.end(), {"application", "moat", "key", name});
}

Words question(std::initializer_list<std::string> words, const std::string& name) {
  Words all = words;
  add_attributes(all, name);
  return all;
}

Error unreachable(std::string_view words) {
  return error(Errc::refused,
               "the Secret Service cannot be used here: %s; run moat in the session that has it "
               "(DBUS_SESSION_BUS_ADDRESS leads there), or choose another vault.key",
               std::string(words).c_str());
}

// What it has said before it failed.
Error failure(const CommandOutput& output) {
  const std::string_view said = trim(output.err);
  std::string words = printable(said.substr(0, std::min(said.find('\n'), longest_words)));
  if (words.empty()) words = format("secret-tool ended with status %d", output.status.shell());
  return unreachable(words);
}

Error failure(const Error& error) {
  const bool missing = error.code == Errc::not_found;
  return unreachable(error.message + (missing ? " (Debian: apt install libsecret-tools)" : ""));
}

Result<CommandOutput> run(CommandSpec spec) {
  return run_command(std::move(spec), limit, max_output);
}

}  // namespace

Result<void> put_into_secret_service(const std::string& name, const Secret& secret) {
  CommandSpec spec;
  spec.argv = question({"secret-tool", "store", "--label=Key of moat's vault"}, name);
  spec.input = hex(secret.reveal());
  const auto output = run(std::move(spec));
  if (!output) return failure(output.error());
  if (output->status.shell() != 0) return failure(*output);
  // What it does not give back is not kept.
  const auto kept = get_from_secret_service(name, secret.size());
  if (!kept) return kept.error();
  if (kept->equals(secret.reveal())) return {};
  return error(Errc::io, "the Secret Service gives back something else than was put into it");
}

Result<Secret> get_from_secret_service(const std::string& name, size_t size) {
  Loop loop;
  std::optional<Result<Secret>> result;
  {
    const SecretServiceQuestion asked(loop, name, size, [&](Result<Secret> secret) {
      result.emplace(std::move(secret));
      loop.stop();
    });
    loop.run();
  }
  if (!result) return error(Errc::closed, "secret-tool was interrupted");
  return std::move(*result);
}

Result<void> remove_from_secret_service(const std::string& name) {
  CommandSpec spec;
  spec.argv = question({"secret-tool", "clear"}, name);
  const auto output = run(std::move(spec));
  if (!output) return failure(output.error());
  // It fails, and says nothing, where there is none.
  if (output->status.shell() != 0 && !trim(output->err).empty()) return failure(*output);
  return {};
}

SecretServiceQuestion::SecretServiceQuestion(Loop& loop, std::string name, size_t size, Done done)
    : loop_(loop), name_(std::move(name)), size_(size), done_(std::move(done)) {
  command_ = std::make_unique<CapturedCommand>(
      loop_, question({"secret-tool", "lookup"}, name_), limit, max_output,
      [this](Result<CommandOutput> output) { on_answer(std::move(output)); });
}

SecretServiceQuestion::~SecretServiceQuestion() = default;

void SecretServiceQuestion::on_answer(Result<CommandOutput> output) {
  const Done done = done_;  // it may destroy us
  if (!output) return done(failure(output.error()));
  if (output->status.shell() == 0) {
    auto bytes = from_hex(trim(output->out));
    wipe(output->out);
    Result<Secret> secret = error(
        Errc::tampered, "the Secret Service has something else than a key as '%s'", name_.c_str());
    if (bytes && bytes->size() == size_) secret = Secret(*bytes);
    if (bytes) wipe(*bytes);
    return done(std::move(secret));
  }
  if (!trim(output->err).empty()) return done(failure(*output));
  // It says nothing where there is no such item, and where it was not unlocked. A search names
  // locked items too.
  command_ = std::make_unique<CapturedCommand>(
      loop_, question({"secret-tool", "search"}, name_), limit, max_output,
      [this](Result<CommandOutput> found) { on_search(std::move(found)); });
}

void SecretServiceQuestion::on_search(Result<CommandOutput> output) {
  const Done done = done_;
  if (!output) return done(failure(output.error()));
  const bool there = output->out.find("label = ") != std::string::npos;
  wipe(output->out);  // with the secret in it, if somebody has unlocked it just now
  if (there)
    return done(error(Errc::refused,
                      "the Secret Service is locked: unlock it, by logging in to the desktop or in "
                      "its own program, and try again"));
  done(error(Errc::not_found, "the Secret Service has no key '%s'", name_.c_str()));
}

}  // namespace moat::store
