// Bundles come from anybody. Nobody has signed these; so that what lies behind the header is tried
// as well, the same input is also the lines after a header that holds.
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/crypto.h"
#include "core/json.h"
#include "store/bundle.h"
#include "store/note.h"

namespace {

const moat::SigningKey& key() {
  static const moat::SigningKey made = *moat::SigningKey::generate();
  return made;
}

// Of the records 0 to 3 of 4, over a root that no records have.
const std::string& header() {
  static const std::string line = [] {
    const auto note = *moat::store::write_checkpoint(
        {"moat.run/a1b2c3d4e5f6", {4, moat::sha256("nothing")}}, key());
    moat::Json json = moat::Json::object();
    json.set("bundle", moat::store::bundle_format)
        .set("checkpoint", note)
        .set("from", 0)
        .set("left", moat::Json::array())
        .set("right", moat::Json::array())
        .set("run", "a1b2c3d4e5f6")
        .set("size", 4)
        .set("to", 4);
    return json.canonical() + "\n";
  }();
  return line;
}

bool is_tampered(std::string_view first, std::string_view second, size_t cut) {
  moat::store::BundleVerifier verifier(key().public_der());
  verifier.feed(first);
  verifier.feed(second.substr(0, cut));
  verifier.feed(second.substr(cut));
  return verifier.finish().kind == moat::store::Verdict::Kind::tampered;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (!is_tampered("", input, size / 2)) abort();
  if (!is_tampered(header(), input, size / 3)) abort();
  return 0;
}
