#include "store/note.h"

#include <cinttypes>
#include <cstring>
#include <optional>
#include <utility>

#include "core/text.h"

namespace moat::store {
namespace {

constexpr size_t max_note = 16 * 1024;
constexpr size_t max_signatures = 16;  // ours, and room for witnesses
constexpr size_t id_size = 4;
constexpr std::string_view dash = "\xe2\x80\x94 ";  // U+2014 and a space, before each signature

std::string key_id(std::string_view public_key_der) {
  const Digest digest = sha256(public_key_der);
  return std::string(view(digest).substr(0, id_size));
}

Error malformed(const char* what) {
  return error(Errc::invalid, "this is not a checkpoint of moat: %s", what);
}

// Takes the text up to the next newline, and that newline, off `rest`.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

bool is_name(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text)
    if (c <= ' ' || c >= 0x7f || c == '+') return false;
  return true;
}

// Of whoever: in any language.
bool is_key_name(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '+') return false;
  }
  return true;
}

struct Signature {
  std::string_view name;
  std::string bytes;  // key id, then the signature itself
};

Result<Signature> parse_signature(std::string_view line) {
  if (line.substr(0, dash.size()) != dash) return malformed("a signature line is expected");
  line.remove_prefix(dash.size());
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || !is_key_name(line.substr(0, space)))
    return malformed("a key has no name, or one that none may have");
  auto bytes = from_base64(line.substr(space + 1));
  if (!bytes || bytes->size() <= id_size) return malformed("a signature is not base64");
  return Signature{line.substr(0, space), std::move(*bytes)};
}

Result<Checkpoint> parse_text(std::string_view text) {
  const auto origin = take_line(text);
  const auto size_line = take_line(text);
  const auto root_line = take_line(text);
  if (!origin || !size_line || !root_line || !text.empty())
    return malformed("it has three lines of text, each with its newline");
  if (!is_name(*origin)) return malformed("the origin has characters that none may have");

  const auto size = parse_number(*size_line, 0, UINT64_MAX);
  if (!size || *size_line != std::to_string(*size)) return malformed("the size is not a number");
  const auto root = from_base64(*root_line);
  Checkpoint checkpoint{std::string(*origin), {*size, {}}};
  if (!root || root->size() != checkpoint.head.root.size())
    return malformed("the root is not 32 bytes in base64");
  std::memcpy(checkpoint.head.root.data(), root->data(), root->size());
  return checkpoint;
}

// What is signed: up to the empty line, its last newline included.
Result<std::string_view> text_of(std::string_view note) {
  if (note.size() > max_note) return malformed("it is too long");
  if (!is_utf8(note)) return malformed("it is not UTF-8");
  const size_t blank = note.find("\n\n");
  if (blank == std::string_view::npos) return malformed("no empty line ends its text");
  return note.substr(0, blank + 1);
}

// At least one signature is by this key, and each that says so is right.
Result<void> check_signatures(std::string_view signatures, std::string_view text,
                              std::string_view public_key) {
  const std::string id = key_id(public_key);
  bool found = false;
  size_t count = 0;
  while (!signatures.empty()) {
    const auto line = take_line(signatures);
    if (!line) return malformed("the last line has no newline");
    if (++count > max_signatures) return malformed("it has too many signatures");
    const auto signature = parse_signature(*line);
    if (!signature) return signature.error();
    if (signature->name != note_key_name || signature->bytes.compare(0, id_size, id) != 0) continue;
    if (!verify_signature(public_key, text, std::string_view(signature->bytes).substr(id_size)))
      return error(Errc::tampered, "the checkpoint's signature does not fit its text");
    found = true;
  }
  if (!found)
    return error(Errc::tampered, "the checkpoint is not signed by the key %s", hex(id).c_str());
  return {};
}

}  // namespace

const char* const note_key_name = "moat";

std::string note_key_id(std::string_view public_key_der) {
  return hex(key_id(public_key_der));
}

Result<std::string> write_checkpoint(const Checkpoint& checkpoint, const SigningKey& key) {
  if (!is_name(checkpoint.origin))
    return error(Errc::invalid, "'%s' cannot be the origin of a checkpoint",
                 printable(checkpoint.origin).c_str());
  const std::string text = format("%s\n%" PRIu64 "\n%s\n", checkpoint.origin.c_str(),
                                  checkpoint.head.size, base64(view(checkpoint.head.root)).c_str());
  const auto signature = key.sign(text);
  if (!signature) return signature.error().in("cannot sign a checkpoint");
  return text + "\n" + std::string(dash) + note_key_name + " " +
         base64(key_id(key.public_der()) + *signature) + "\n";
}

Result<Checkpoint> parse_checkpoint(std::string_view note) {
  const auto text = text_of(note);
  return text ? parse_text(*text) : text.error();
}

Result<Checkpoint> read_checkpoint(std::string_view note, std::string_view public_key) {
  const auto text = text_of(note);
  if (!text) return text.error();
  auto checkpoint = parse_text(*text);
  if (!checkpoint) return checkpoint;

  std::string der(public_key);
  if (public_key.substr(0, 10) == "-----BEGIN") {
    auto converted = public_key_der(public_key);
    if (!converted) return converted.error();
    der = std::move(*converted);
  }
  if (auto signed_ = check_signatures(note.substr(text->size() + 1), *text, der); !signed_)
    return signed_.error();
  return checkpoint;
}

}  // namespace moat::store
