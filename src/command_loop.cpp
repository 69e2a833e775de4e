#include "command_loop.h"

#include <optional>
#include <utility>

namespace moat {

Result<FetchResponse> CommandLoop::ask(FetchRequest request) {
  if (interrupted_ != 0) return given_up();
  std::optional<Result<FetchResponse>> answer;
  const uint64_t id = fetcher_.fetch(std::move(request), [&](Result<FetchResponse> response) {
    answer.emplace(std::move(response));
    loop_.stop();
  });
  loop_.run();
  if (answer) return std::move(*answer);
  fetcher_.cancel(id);  // it would write to what is gone
  return given_up();
}

}  // namespace moat
