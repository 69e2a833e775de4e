#include "token_source.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

#include "core/child.h"
#include "core/text.h"
#include "device_flow.h"

namespace moat {

namespace {

constexpr size_t max_input = 16 * 1024;  // twice the longest token

// Takes what is in `text` and leaves nothing there.
Secret take_token(std::string& text) {
  const std::string_view trimmed = trim(text);
  Secret token(looks_like_token(trimmed) ? trimmed : std::string_view());
  wipe(text);
  return token;
}

}  // namespace

Result<FoundToken> token_from_input(int fd) {
  if (isatty(fd) != 0)
    return error(Errc::invalid,
                 "--token-stdin reads the token from a pipe or a file, not from a terminal, which "
                 "would show it, as in 'moat grant github --token-stdin < FILE'");
  std::string text(max_input, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = read(fd, text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const Error failure = errno_error("cannot read the token from standard input");
      wipe(text);
      return failure;
    }
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  // The rest holds nothing yet, so shrinking leaves no copy.
  text.resize(size);
  Secret token = take_token(text);
  if (token.empty())
    return error(Errc::invalid,
                 "what came on standard input is no token: it must be one word of at most 8 KiB");
  return FoundToken{std::move(token), "standard input"};
}

Result<std::optional<FoundToken>> token_from_environment(const ProviderSite& site) {
  for (const char* variable : site.variables) {
    const char* value = getenv(variable);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view text = trim(value);
    if (!looks_like_token(text))
      return error(Errc::invalid, "what %s holds is no token: correct it or unset it", variable);
    return std::optional<FoundToken>(FoundToken{Secret(text), variable});
  }
  return std::optional<FoundToken>();
}

struct TokenCommands::Impl {
  Impl(Loop& on, const ProviderSite& site, const std::string& host, Done when_done)
      : loop(on), done(std::move(when_done)), next_turn(on, [this] { ask_next(); }) {
    for (const auto& words : site.commands) {
      std::vector<std::string> argv;
      argv.reserve(words.size());
      for (const char* word : words) argv.push_back(for_host(word, host));
      commands.push_back(std::move(argv));
    }
    next_turn.start(Milliseconds(0));
  }

  void ask_next() {
    running.reset();
    if (asked == commands.size()) {
      const Done call = std::move(done);
      return call(std::nullopt);  // may have destroyed us
    }
    const std::vector<std::string>& argv = commands[asked++];
    running = std::make_unique<CapturedCommand>(
        loop, argv, Milliseconds(10'000), max_input,
        [this](Result<CommandOutput> output) { on_output(std::move(output)); });
  }

  void on_output(Result<CommandOutput> output) {
    Secret token;
    if (output) {
      Secret printed = take_token(output->out);
      if (output->status.shell() == 0) token = std::move(printed);
    }
    // Not from here: the CapturedCommand that calls us would be destroyed.
    if (token.empty()) return next_turn.start(Milliseconds(0));
    const std::vector<std::string>& argv = commands[asked - 1];
    std::string source;
    for (size_t i = 0; i < argv.size() && argv[i].compare(0, 2, "--") != 0; ++i)
      source += (source.empty() ? "" : " ") + argv[i];
    const Done call = std::move(done);
    call(FoundToken{std::move(token), source});  // may have destroyed us
  }

  Loop& loop;
  Done done;
  std::vector<std::vector<std::string>> commands;
  size_t asked = 0;
  Timer next_turn;
  std::unique_ptr<CapturedCommand> running;
};

TokenCommands::TokenCommands(Loop& loop, const ProviderSite& site, const std::string& host,
                             Done done)
    : impl_(std::make_unique<Impl>(loop, site, host, std::move(done))) {}

TokenCommands::~TokenCommands() = default;

}  // namespace moat
