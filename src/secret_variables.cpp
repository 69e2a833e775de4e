#include "secret_variables.h"

#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>

#include "config_reader.h"
#include "core/child.h"
#include "core/fd.h"
#include "core/loop.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t longest_secret = 64 * 1024;
constexpr size_t longest_source = 4096;
constexpr Milliseconds limit{60'000};

using Words = std::vector<std::string>;

// An operand that would be taken for an option is none.
bool is_operand(std::string_view text) {
  return !text.empty() && text.front() != '-' && text.find('\0') == std::string_view::npos;
}

Words ask_shell(std::string_view line) {
  return {"sh", "-c", std::string(line)};
}

Words ask_onepassword(std::string_view reference) {
  return {"op", "read", "--no-newline", "op://" + std::string(reference)};
}

Words ask_parameter_store(std::string_view name) {
  if (!is_operand(name)) return {};
  return {"aws",           "ssm",
          "get-parameter", "--with-decryption",
          "--output",      "text",
          "--query",       "Parameter.Value",
          "--name",        std::string(name)};
}

Words ask_keyring(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  const std::string_view service = text.substr(0, slash);
  const std::string_view user = text.substr(slash + 1);
  if (!is_operand(service) || !is_operand(user)) return {};
  return {"secret-tool", "lookup", "service", std::string(service), "username", std::string(user)};
}

// Who is asked, and what; no words where what stands behind "://" makes no sense. Without `ask`, it
// is looked at right here.
struct Scheme {
  std::string_view name;
  const char* form;
  Words (*ask)(std::string_view rest);
};
constexpr Scheme schemes[] = {
    {"env", "env://NAME", nullptr},
    {"file", "file:///PATH or file://~/PATH", nullptr},
    {"cmd", "cmd://COMMAND, a line for the shell", ask_shell},
    {"op", "op://VAULT/ITEM/FIELD", ask_onepassword},
    {"ssm", "ssm://NAME of a parameter", ask_parameter_store},
    {"keyring", "keyring://SERVICE/USER", ask_keyring},
};

struct Source {
  const Scheme* scheme = nullptr;
  std::string_view rest;
};

std::optional<Source> take_apart(std::string_view text) {
  for (const Scheme& scheme : schemes) {
    if (text.starts_with(scheme.name) && text.substr(scheme.name.size()).starts_with("://"))
      return Source{&scheme, text.substr(scheme.name.size() + 3)};
  }
  return std::nullopt;
}

std::string path_of(std::string_view rest) {
  if (!rest.starts_with("~/")) return std::string(rest);
  const char* home = getenv("HOME");
  return home == nullptr ? std::string() : home + std::string(rest.substr(1));
}

// Takes what is in `text` and leaves nothing there.
Result<Secret> take_value(std::string& text) {
  std::string_view value = text;
  while (value.ends_with('\n') || value.ends_with('\r')) value.remove_suffix(1);
  Result<Secret> taken = Secret(value);
  if (text.size() > longest_secret) taken = error(Errc::too_large, "it has more than 64 KiB");
  if (value.empty()) taken = error(Errc::invalid, "it is empty");
  if (value.find('\0') != std::string_view::npos)
    taken = error(Errc::invalid, "it has a zero byte, which no variable can hold");
  wipe(text);
  return taken;
}

Result<Secret> look_here(const Source& source) {
  if (source.scheme->name == "env") {
    const std::string name(source.rest);
    const char* here = getenv(name.c_str());
    if (here == nullptr) return error(Errc::not_found, "%s is not set here", name.c_str());
    std::string text = here;
    return take_value(text);
  }
  auto text = read_file(path_of(source.rest), longest_secret);
  return text ? take_value(*text) : text.error();
}

Result<Secret> take_output(CommandOutput& output, const std::string& program) {
  const int status = output.status.shell();
  if (status != 0) {
    wipe(output.out);
    const std::string_view said = trim(output.err);
    return error(Errc::refused, "%s failed with status %d%s%s", program.c_str(), status,
                 said.empty() ? "" : ": ",
                 printable(said.substr(0, std::min(said.find('\n'), size_t{200}))).c_str());
  }
  return take_value(output.out);
}

struct Question {
  std::optional<Result<Secret>> answer;
  std::unique_ptr<CapturedCommand> command;
};

}  // namespace

Result<void> check_secret_source(std::string_view text) {
  const auto source = take_apart(text);
  if (!source) {
    std::string known;
    for (const Scheme& scheme : schemes)
      known += (known.empty() ? "" : ", ") + std::string(scheme.form);
    return error(Errc::invalid, "'%s' is no source of a secret; there are %s", shown(text).c_str(),
                 known.c_str());
  }
  const std::string_view name = source->scheme->name;
  Result<void> fits;
  if (name == "env") {
    fits = check_variable_name(std::string(source->rest));
  } else if (name == "file") {
    const bool absolute = source->rest.starts_with('/') || source->rest.starts_with("~/");
    if (!absolute) fits = error(Errc::invalid, "the path is not absolute");
  } else if (source->rest.empty() || source->scheme->ask(source->rest).empty()) {
    fits = error(Errc::invalid, "something is missing");
  }
  if (fits && text.size() > longest_source) fits = error(Errc::invalid, "it is too long");
  if (fits && text.find('\0') != std::string_view::npos)
    fits = error(Errc::invalid, "it has a zero byte");
  if (fits) return {};
  return error(Errc::invalid, "'%s' is not %s: %s", shown(text).c_str(), source->scheme->form,
               fits.error().message.c_str());
}

Result<std::vector<SecretValue>> fetch_secrets(const std::vector<SecretVariable>& variables) {
  Loop loop;
  std::vector<Question> questions(variables.size());
  size_t open = variables.size();
  for (size_t i = 0; i < variables.size(); ++i) {
    Question& question = questions[i];
    const auto source = take_apart(variables[i].source);
    if (!source) return error(Errc::invalid, "no source");  // check_secret_source() has seen to it
    if (source->scheme->ask == nullptr) {
      question.answer = look_here(*source);
      --open;
      continue;
    }
    const Words words = source->scheme->ask(source->rest);
    question.command = std::make_unique<CapturedCommand>(
        loop, words, limit, longest_secret + 1,  // one more tells that it was cut
        [&question, &open, program = words[0]](Result<CommandOutput> output) {
          question.answer = output ? take_output(*output, program) : output.error();
          --open;
        });
  }
  while (open > 0) loop.turn(limit);

  std::vector<SecretValue> values;
  std::string missing;
  for (size_t i = 0; i < variables.size(); ++i) {
    const SecretVariable& variable = variables[i];
    auto& answer = *questions[i].answer;
    if (answer) {
      values.push_back({variable.name, variable.source, std::move(*answer)});
    } else {
      missing += (missing.empty() ? "" : "; ") + variable.where + ": " + variable.name + ": " +
                 shown(variable.source) + ": " + answer.error().message;
    }
  }
  if (!missing.empty()) return Error{Errc::not_found, missing};
  return values;
}

}  // namespace moat
