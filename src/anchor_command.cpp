#include <unistd.h>

#include <utility>

#include "anchor.h"
#include "core/child.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t max_output = 4096;
constexpr size_t longest_reason = 200;

class CommandAnchor final : public Anchor {
 public:
  CommandAnchor(Loop& loop, std::vector<std::string> command, Milliseconds limit)
      : loop_(loop), command_(std::move(command)), limit_(limit) {}

  // Its arguments may be secret.
  [[nodiscard]] std::string name() const override { return "command " + printable(command_[0]); }
  void take(const std::string& run, const store::SignedHead& head, Done done) override {
    CommandSpec spec;
    spec.argv = command_;
    spec.input = head.note;
    spec.new_session = true;
    spec.environment =
        environment({"MOAT_RUN=" + run, "MOAT_SIZE=" + std::to_string(head.head.size),
                     "MOAT_ROOT=" + hex(view(head.head.root))});
    running_ = std::make_unique<CapturedCommand>(
        loop_, std::move(spec), limit_, max_output,
        [done = std::move(done)](const Result<CommandOutput>& output) { done(judge(output)); });
  }

 private:
  // Ours, but for what `ours` says.
  static std::vector<std::string> environment(std::vector<std::string> variables) {
    const size_t count = variables.size();
    for (char** at = environ; *at != nullptr; ++at) {
      const std::string_view variable = *at;
      const std::string_view name = variable.substr(0, variable.find('=') + 1);
      bool said = false;
      for (size_t i = 0; i < count; ++i) said = said || variables[i].starts_with(name);
      if (!said) variables.emplace_back(variable);
    }
    return variables;
  }
  static Result<void> judge(const Result<CommandOutput>& output) {
    if (!output) return output.error();
    const int status = output->status.shell();
    if (status == 0) return {};
    const std::string said =
        printable(std::string_view(output->err).substr(0, output->err.find('\n')))
            .substr(0, longest_reason);
    return error(Errc::refused, "it ended with status %d%s%s", status, said.empty() ? "" : ": ",
                 said.c_str());
  }

  Loop& loop_;
  std::vector<std::string> command_;
  Milliseconds limit_;
  std::unique_ptr<CapturedCommand> running_;
};

}  // namespace

std::unique_ptr<Anchor> make_command_anchor(Loop& loop, std::vector<std::string> command,
                                            Milliseconds limit) {
  return std::make_unique<CommandAnchor>(loop, std::move(command), limit);
}

}  // namespace moat
