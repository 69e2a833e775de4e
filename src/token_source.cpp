#include "token_source.h"

#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

#include "core/child.h"
#include "core/fd.h"
#include "core/json.h"
#include "core/text.h"
#include "device_flow.h"

namespace moat {

namespace {

constexpr size_t max_input = 16 * 1024;  // twice the longest token
constexpr size_t largest_file = 1024 * 1024;

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
  return FoundToken{std::move(token), "standard input", ""};
}

namespace {

// "${NPM_TOKEN}": a file that says where else to look.
bool is_reference(std::string_view text) {
  return text.find("${") != std::string_view::npos;
}

Result<std::optional<FoundToken>> found_in(std::string_view text, const TokenSource& source,
                                           const std::string& name) {
  text = trim(text);
  if (text.empty() || is_reference(text)) return std::optional<FoundToken>();
  if (!source.base64) {
    if (looks_like_token(text))
      return std::optional<FoundToken>(FoundToken{Secret(text), name, ""});
  } else if (auto plain = from_base64(text)) {
    Secret token = take_token(*plain);
    if (!token.empty()) return std::optional<FoundToken>(FoundToken{std::move(token), name, ""});
  }
  return error(Errc::invalid, "what %s holds is no token: correct it or %s", name.c_str(),
               source.kind == TokenSource::Kind::variable ? "unset it" : "remove it");
}

std::string path_of(const std::string& text) {
  const char* home = getenv("HOME");
  if (!text.starts_with("~/")) return text;
  return home == nullptr || *home == '\0' ? std::string() : home + text.substr(1);
}

// Of what else the source says that there is, and without a copy of a secret.
Result<void> read_more(std::string_view text, const TokenSource& source, FoundToken& found) {
  const auto look = [&](const std::vector<std::string>& key) -> Result<std::optional<Secret>> {
    if (key.empty()) return std::optional<Secret>();
    return value_in(text, source.format, key);
  };
  const auto expires = look(source.expires);
  if (!expires) return expires.error();
  if (*expires) found.expires_at = time_in((*expires)->reveal());
  auto refresh = look(source.refresh);
  if (!refresh) return refresh.error();
  if (*refresh && looks_like_token((*refresh)->reveal()))
    found.refresh_token = std::move(**refresh);
  for (const auto& [name, key] : source.facts) {
    const auto fact = look(key);
    if (!fact) return fact.error();
    if (*fact && is_fact((*fact)->reveal())) found.facts[name] = (*fact)->reveal();
  }
  found.followed = source.follow;
  return {};
}

}  // namespace

// It is put into files of any syntax, and shown: nothing that has a meaning in one.
bool is_fact(std::string_view text) {
  constexpr std::string_view marks = "@._:+-";
  return !text.empty() && text.size() <= 200 && std::all_of(text.begin(), text.end(), [&](char c) {
    return isalnum(static_cast<unsigned char>(c)) != 0 || marks.find(c) != std::string_view::npos;
  });
}

std::map<std::string, std::string> facts_in_token(const std::vector<TokenSource>& sources,
                                                  const Secret& token) {
  std::map<std::string, std::string> facts;
  Json file = Json::object();
  file.set("token", token.reveal());
  std::string text = file.text();
  file.wipe();
  for (const TokenSource& source : sources) {
    for (const auto& [name, key] : source.facts) {
      const bool within = key.size() > source.key.size() &&
                          std::equal(source.key.begin(), source.key.end(), key.begin());
      if (!within || source.key.empty() || facts.count(name) > 0) continue;
      std::vector<std::string> claim = {"token"};
      claim.insert(claim.end(), key.begin() + static_cast<std::ptrdiff_t>(source.key.size()),
                   key.end());
      const auto fact = value_in(text, TokenSource::Format::json, claim);
      if (fact && *fact && is_fact((*fact)->reveal())) facts[name] = (*fact)->reveal();
    }
  }
  wipe(text);
  return facts;
}

std::string file_of(const TokenSource& source, const std::string& host) {
  return path_of(for_host(source.text, host));
}

Result<std::optional<FoundToken>> token_from_machine(const TokenSource& source,
                                                     const std::string& host) {
  if (source.kind == TokenSource::Kind::variable) {
    const char* value = getenv(source.text.c_str());
    return found_in(value == nullptr ? "" : value, source, source.text);
  }
  const std::string path = file_of(source, host);
  if (path.empty()) return std::optional<FoundToken>();
  auto text = read_file(path, largest_file);
  if (!text) {
    if (text.error().code == Errc::not_found) return std::optional<FoundToken>();
    return text.error();
  }
  std::vector<std::string> key;
  for (const std::string& word : source.key) key.push_back(for_host(word, host));
  const auto value = value_in(*text, source.format, key);
  Result<std::optional<FoundToken>> found = std::optional<FoundToken>();
  if (!value)
    found = value.error().in(path);
  else if (*value)
    found = found_in((*value)->reveal(), source, path);
  if (found && *found) {
    if (auto more = read_more(*text, source, **found); !more) found = more.error().in(path);
  }
  wipe(*text);
  return found;
}

struct TokenCommand::Impl {
  Impl(Loop& loop, const TokenSource& source, const std::string& host, Done when_done)
      : done(std::move(when_done)) {
    for (const std::string& word : source.command) argv.push_back(for_host(word, host));
    running.emplace(loop, argv, Milliseconds(10'000), max_input,
                    [this](Result<CommandOutput> output) { on_output(std::move(output)); });
  }

  void on_output(Result<CommandOutput> output) const {
    Secret token;
    if (output) {
      Secret printed = take_token(output->out);
      if (output->status.shell() == 0) token = std::move(printed);
    }
    if (token.empty()) return done(std::nullopt);
    std::string name;
    for (size_t i = 0; i < argv.size() && argv[i].compare(0, 2, "--") != 0; ++i)
      name += (name.empty() ? "" : " ") + argv[i];
    done(FoundToken{std::move(token), name, ""});
  }

  Done done;
  std::vector<std::string> argv;
  std::optional<CapturedCommand> running;
};

TokenCommand::TokenCommand(Loop& loop, const TokenSource& source, const std::string& host,
                           Done done)
    : impl_(std::make_unique<Impl>(loop, source, host, std::move(done))) {}

TokenCommand::~TokenCommand() = default;

struct TokenPrompt::Impl {
  Impl(Loop& loop, const std::string& question, Done when_done)
      : done(std::move(when_done)), watch(loop, STDIN_FILENO, [this](Ready) { read_line(); }) {
    tcgetattr(STDIN_FILENO, &before);
    termios quiet = before;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_lflag |= ICANON | ISIG | ECHONL;
    quiet.c_cc[VSUSP] = _POSIX_VDISABLE;  // stopped in the middle, it would leave the terminal so
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    (void)write_all(STDERR_FILENO, question + ": ");
    watch.want(true, false);
  }
  ~Impl() { tcsetattr(STDIN_FILENO, TCSAFLUSH, &before); }

  // A terminal gives a line at a time.
  void read_line() {
    std::string text(max_input, '\0');
    const ssize_t size = read(STDIN_FILENO, text.data(), text.size());
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
    text.resize(size < 0 ? 0 : static_cast<size_t>(size));
    watch.want(false, false);
    Secret token = take_token(text);
    if (token.empty())
      return done(error(Errc::invalid, "what was typed is no token: it must be one word"));
    done(FoundToken{std::move(token), "terminal", ""});
  }

  Done done;
  termios before{};
  Watch watch;
};

TokenPrompt::TokenPrompt(Loop& loop, const std::string& question, Done done)
    : impl_(std::make_unique<Impl>(loop, question, std::move(done))) {}

TokenPrompt::~TokenPrompt() = default;

bool can_prompt() {
  const char* forbidden = getenv("MOAT_NO_PROMPT");
  return isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0 &&
         (forbidden == nullptr || *forbidden == '\0');
}

}  // namespace moat
