// Records from a hostile peer: whatever comes, in whatever pieces, the layer takes the same bytes,
// gives the same plain text and ends in the same way, and never writes outside of what it is given.
// The first byte chooses cipher and shape. Then, in one shape, the bytes are the wire as they are;
// in the other they are told as records (type, length, plain text, what to spoil), which a layer
// with the other keys seals: so the fuzzer comes past the tags.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/tls_record.h"

using moat::Buffer;
using moat::proxy::RecordCipher;
using moat::proxy::RecordKeys;
using moat::proxy::RecordLayer;

namespace {

RecordKeys keys(RecordCipher cipher, bool is_client) {
  std::array<unsigned char, 88> block{};
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<unsigned char>(3 * i + 1);
  return {cipher, is_client, block};
}

struct Outcome {
  std::string plain;
  size_t taken = 0;
  bool closed = false;
  RecordLayer::Fault fault = RecordLayer::Fault::none;
  int alert = 0;
  std::string answers;
  bool operator==(const Outcome&) const = default;
};

// `cuts` says how long the pieces are; empty: one.
Outcome open(RecordCipher cipher, std::string_view wire, std::string_view cuts) {
  const auto layer = RecordLayer::create(keys(cipher, true));
  if (!layer) abort();
  Outcome outcome;
  Buffer answers;
  std::string held;
  for (size_t turn = 0; !wire.empty();) {
    size_t size = wire.size();
    if (!cuts.empty()) {
      const auto cut = static_cast<unsigned char>(cuts[turn++ % cuts.size()]);
      size = std::min<size_t>(size, cut < 128 ? cut + 1U : (cut - 127U) * 300U);
    }
    held += wire.substr(0, size);
    wire.remove_prefix(size);
    // A place of exactly this size, so that a byte too far is found.
    std::unique_ptr<char[]> place(new char[held.size()]);
    held.copy(place.get(), held.size());
    const auto opened = layer->open(place.get(), held.size(), answers);
    if (opened.taken > held.size()) abort();
    if (!opened.plain.empty() &&
        (opened.plain.data() < place.get() || opened.plain.end() > place.get() + opened.taken))
      abort();
    outcome.plain += opened.plain;
    outcome.taken += opened.taken;
    outcome.closed = opened.closed;
    outcome.fault = opened.fault;
    outcome.alert = opened.alert;
    if (opened.closed || opened.fault != RecordLayer::Fault::none) break;
    held.erase(0, opened.taken);
  }
  outcome.answers = answers.view();
  return outcome;
}

// What a peer with the right keys would send, and then spoil.
std::string seal(RecordCipher cipher, std::string_view told) {
  const auto layer = RecordLayer::create(keys(cipher, false));
  if (!layer) abort();
  Buffer wire;
  while (told.size() >= 3) {
    const auto kind = static_cast<unsigned char>(told[0]);
    const size_t size = std::min<size_t>(
        static_cast<unsigned char>(told[1]) * (kind % 2 != 0 ? 70U : 1U), told.size() - 3);
    const auto spoil = static_cast<unsigned char>(told[2]);
    const size_t before = wire.size();
    if (kind % 16 == 15) {
      layer->close_notify(wire);
    } else if (!layer->seal(told.substr(3, size), wire)) {
      abort();
    }
    if (spoil > 200 && wire.size() > before)
      wire.data()[before + spoil % (wire.size() - before)] ^= 1;
    told.remove_prefix(3 + size);
  }
  return std::string(wire.view());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 6) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto choice = static_cast<unsigned char>(bytes[0]);
  const auto cipher = static_cast<RecordCipher>(choice % 3);
  const std::string_view cuts = bytes.substr(1, 4);
  bytes.remove_prefix(5);
  const std::string wire = choice >= 128 ? std::string(bytes) : seal(cipher, bytes);
  const Outcome whole = open(cipher, wire, "");
  if (!(open(cipher, wire, cuts) == whole)) abort();
  return 0;
}
