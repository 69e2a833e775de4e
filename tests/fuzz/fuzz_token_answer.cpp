// A token endpoint's answer: whatever it says, what is taken can be sent in a header, and what is
// told to people is text.
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "core/text.h"
#include "device_flow.h"
#include "token_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moat;
  if (size < 1) return 0;
  constexpr int statuses[] = {200, 400, 401, 429, 503};
  std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto answer = read_token_answer(statuses[data[0] % std::size(statuses)], body);
  if (!answer) {
    if (printable(answer.error().message) != answer.error().message) abort();
    return 0;
  }
  if (!looks_like_token(answer->access_token.reveal())) abort();
  if (!answer->refresh_token.empty() && !looks_like_token(answer->refresh_token.reveal())) abort();
  if (answer->lifetime < 0 || printable(answer->scopes) != answer->scopes) abort();
  return 0;
}
