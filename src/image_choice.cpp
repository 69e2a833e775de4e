// Dependencies to an image: which ready one fits (docker), or whether the host's own tools do
// (bubblewrap).
#include <unistd.h>

#include <array>
#include <memory>

#include "config.h"
#include "core/child.h"
#include "core/loop.h"
#include "core/text.h"
#include "paths.h"

namespace moat {
namespace {

struct Tool {
  const char* name;
  const char* image;     // whose tags are its versions
  const char* program;   // that tells its version on the host
  const char* argument;  // when given this
};
constexpr std::array tools = {
    Tool{"bun", "oven/bun", "bun", "--version"},
    Tool{"deno", "denoland/deno", "deno", "--version"},
    Tool{"go", "golang", "go", "version"},
    Tool{"java", "eclipse-temurin", "java", "-version"},
    Tool{"node", "node", "node", "--version"},
    Tool{"openjdk", "eclipse-temurin", "java", "-version"},
    Tool{"perl", "perl", "perl", "-v"},
    Tool{"php", "php", "php", "--version"},
    Tool{"python", "python", "python3", "--version"},
    Tool{"ruby", "ruby", "ruby", "--version"},
    Tool{"rust", "rust", "rustc", "--version"},
};

constexpr const char* base_image = "debian:bookworm-slim";
constexpr const char* host_image = "host";

struct Dependency {
  std::string name;
  std::string version;  // "" for any
};

Dependency take_apart(const std::string& text) {
  const size_t at = text.find('@');
  if (at == std::string::npos) return {text, ""};
  return {text.substr(0, at), text.substr(at + 1)};
}

const Tool* find_tool(const std::string& name) {
  for (const Tool& tool : tools) {
    if (name == tool.name) return &tool;
  }
  return nullptr;
}

Result<ImageChoice> choose_for_docker(const Config& config) {
  if (config.image == host_image)
    return error(
        Errc::invalid,
        "image: 'host' is for bubblewrap only; name an image, or use --runtime bubblewrap");
  if (!config.image.empty()) return ImageChoice{config.image, {}};
  if (config.dependencies.empty()) return ImageChoice{base_image, {}};
  const Located& first = config.dependencies.front();
  if (config.dependencies.size() > 1)
    return error(Errc::unsupported,
                 "%s: dependencies: no ready image has several of them; set 'image:' to one that "
                 "holds them all",
                 first.where.c_str());
  const Dependency wanted = take_apart(first.text);
  const Tool* tool = find_tool(wanted.name);
  if (tool == nullptr)
    return error(Errc::unsupported,
                 "%s: dependencies: no ready image is known for '%s'; set 'image:' to one that "
                 "holds it",
                 first.where.c_str(), first.text.c_str());
  const std::string tag = wanted.version.empty() ? "latest" : wanted.version;
  return ImageChoice{std::string(tool->image) + ":" + tag, {}};
}

Result<ImageChoice> choose_for_bubblewrap(const Config& config) {
  if (!config.image.empty() && config.image != host_image)
    return error(Errc::unsupported,
                 "image: '%s' wants docker, and bubblewrap runs on the host's own /usr; remove the "
                 "key, or use --runtime docker",
                 config.image.c_str());
  ImageChoice choice{host_image, {}};
  for (const Located& dependency : config.dependencies) choice.checks.push_back(dependency.text);
  return choice;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The digits and dots that begin the text, without dots at the end.
std::string_view leading_version(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && (is_digit(text[end]) || text[end] == '.')) ++end;
  while (end > 0 && text[end - 1] == '.') --end;
  return text.substr(0, end);
}

// Where the sandbox's PATH leads, in its order; "" where the program is not seen there.
std::string find_program(const std::string& name) {
  for (const char* directory : {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/"}) {
    std::string path = directory + name;
    // A link out of /usr leads nowhere inside (but the alternatives' are followed there too).
    if (access(path.c_str(), X_OK) == 0 && is_inside(real_path(path), "/usr")) return path;
  }
  return "";
}

// One tool that is being asked.
struct Question {
  std::string wanted;  // "node@20"
  Dependency dependency;
  std::unique_ptr<CapturedCommand> command;
  Result<std::string> version = error(Errc::timeout, "not asked");
};

Result<void> judge(const Question& question) {
  const char* name = question.dependency.name.c_str();
  if (!question.version)
    return question.version.error().in("'" + question.wanted +
                                       "' cannot be had from the host with bubblewrap");
  if (version_serves(*question.version, question.dependency.version)) return {};
  return error(
      Errc::unsupported,
      "'%s' is wanted, and the host has %s %s; install that version, or use --runtime "
      "docker",
      question.wanted.c_str(), name,
      question.version->empty() ? "of a version that it does not tell" : question.version->c_str());
}

}  // namespace

Result<ImageChoice> choose_image(const Config& config, const std::string& engine) {
  return engine == "bubblewrap" ? choose_for_bubblewrap(config) : choose_for_docker(config);
}

std::string version_in(std::string_view output) {
  std::string_view first;
  for (size_t i = 0; i < output.size(); ++i) {
    if (!is_digit(output[i])) continue;
    const std::string_view version = leading_version(output.substr(i));
    if (version.find('.') != std::string_view::npos) return std::string(version);
    if (first.empty()) first = version;
    i += version.size();
  }
  return std::string(first);
}

bool version_serves(std::string_view found, std::string_view wanted) {
  if (wanted.empty()) return true;
  return found.starts_with(wanted) &&
         (found.size() == wanted.size() || found[wanted.size()] == '.');
}

Result<void> check_host_tools(const std::vector<std::string>& checks) {
  constexpr Milliseconds limit{2000};
  constexpr size_t max_output = 4096;
  Loop loop;
  std::vector<Question> questions(checks.size());
  size_t open = checks.size();
  for (size_t i = 0; i < checks.size(); ++i) {
    Question& question = questions[i];
    question.wanted = checks[i];
    question.dependency = take_apart(checks[i]);
    const Tool* tool = find_tool(question.dependency.name);
    const std::string name = tool == nullptr ? question.dependency.name : tool->program;
    const std::string path = find_program(name);
    if (path.empty()) {
      question.version = error(
          Errc::not_found, "there is no %s in the host's /usr; install it, or use --runtime docker",
          name.c_str());
      --open;
      continue;
    }
    question.command = std::make_unique<CapturedCommand>(
        loop, std::vector<std::string>{path, tool == nullptr ? "--version" : tool->argument}, limit,
        max_output, [&question, &open](Result<CommandOutput> output) {
          // Some tell it on stderr.
          if (output)
            question.version = version_in(output->out + "\n" + output->err);
          else
            question.version = output.error();
          --open;
        });
  }
  while (open > 0) loop.turn(limit);
  for (const Question& question : questions) {
    if (auto judged = judge(question); !judged) return judged;
  }
  return {};
}

}  // namespace moat
