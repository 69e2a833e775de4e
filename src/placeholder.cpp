#include "placeholder.h"

#include "core/crypto.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr double least_bits = 90;
constexpr size_t longest = 512;

struct Alphabet {
  std::string_view name;
  std::string_view characters;
  double bits;  // of each
};
constexpr Alphabet alphabets[] = {
    {"random", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 5.95},
    {"hex", "0123456789abcdef", 4},
    {"digits", "0123456789", 3.32},
};

void append_random(std::string& out, std::string_view characters, size_t count) {
  // Of 256 values those that are left over are passed by, so that all are as likely.
  const size_t usable = 256 / characters.size() * characters.size();
  while (count > 0) {
    for (const char c : random_bytes(2 * count)) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= usable || count == 0) continue;
      out += characters[byte % characters.size()];
      --count;
    }
  }
}

// Gives each piece of `pattern` to `text`, `random` or `claims`; false where it is not understood.
template <class Text, class Random, class Claims>
bool walk(std::string_view pattern, Text text, Random random, Claims claims) {
  while (!pattern.empty()) {
    const size_t open = pattern.find('{');
    text(pattern.substr(0, open));
    if (open == std::string_view::npos) return true;
    const size_t close = pattern.find('}', open);
    if (close == std::string_view::npos) return false;
    const std::string_view inside = pattern.substr(open + 1, close - open - 1);
    if (inside == "claims") {
      claims();
      pattern.remove_prefix(close + 1);
      continue;
    }
    const size_t colon = inside.find(':');
    if (colon == std::string_view::npos) return false;
    const auto count = parse_number(inside.substr(colon + 1), 1, longest);
    const Alphabet* found = nullptr;
    for (const Alphabet& alphabet : alphabets)
      if (inside.substr(0, colon) == alphabet.name) found = &alphabet;
    if (!count || found == nullptr) return false;
    random(*found, static_cast<size_t>(*count));
    pattern.remove_prefix(close + 1);
  }
  return true;
}

}  // namespace

Result<void> check_placeholder(std::string_view pattern) {
  double bits = 0;
  size_t size = 0;
  bool plain = true;
  const auto text = [&](std::string_view piece) {
    size += piece.size();
    for (const char c : piece) plain = plain && c > 0x20 && c < 0x7f && c != '}' && c != '"';
  };
  const auto random = [&](const Alphabet& alphabet, size_t count) {
    size += count;
    bits += static_cast<double>(count) * alphabet.bits;
  };
  if (!walk(pattern, text, random, [] {}) || !plain)
    return error(Errc::invalid,
                 "it is one word of characters and of {random:N}, {hex:N}, {digits:N} or {claims}");
  if (size > longest) return error(Errc::invalid, "it is longer than %zu characters", longest);
  if (bits < least_bits)
    return error(Errc::invalid,
                 "it has too few random characters to stand nowhere by chance; {random:16} has "
                 "enough");
  return {};
}

std::string make_placeholder(std::string_view pattern, std::string_view claims) {
  std::string out;
  (void)walk(
      pattern, [&out](std::string_view piece) { out += piece; },
      [&out](const Alphabet& alphabet, size_t count) {
        append_random(out, alphabet.characters, count);
      },
      [&] { out += base64url(claims); });
  return out;
}

}  // namespace moat
