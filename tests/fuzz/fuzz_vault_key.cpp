// What says where the vault's key is may have been put there by somebody else, or be cut. What is
// taken must be what moat would write, and asks for no more than moat would.
#include <cstdlib>
#include <string>
#include <string_view>

#include "store/vault_key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moat;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto record = store::parse_key_record(input);
  if (!record) return 0;
  const std::string text = record->text();
  const auto again = store::parse_key_record(text);
  if (!again || again->text() != text) abort();
  if (record->source == store::KeySource::file && text != input) abort();
  return 0;
}
