// What comes back to the address on loopback, from whomever: a code is taken only with the state
// and of the issuer that were asked for, and can be sent on; what is told to people is text.
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/text.h"
#include "device_flow.h"
#include "redirect_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moat;
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const RedirectExpected expected = {"state", (data[0] & 1) != 0 ? "https://as.example" : "",
                                     (data[0] & 2) != 0};
  for (const auto& code : {read_redirect(text, expected), read_pasted(text, expected)}) {
    if (code ? !looks_like_token(code->reveal())
             : printable(code.error().message) != code.error().message)
      abort();
  }
  // Nobody has a code taken without knowing the state, plain or escaped.
  const RedirectExpected secret = {"0f1e2d3c4b5a69788796a5b4c3d2e1f0", expected.issuer, false};
  if (text.find('%') == std::string_view::npos && text.find(secret.state) == std::string_view::npos)
    if (read_redirect(text, secret)) abort();
  return 0;
}
