// The text forms of proofs: C2SP tlog-proof, and the body of tlog-witness's add-checkpoint.
#include <cinttypes>
#include <cstring>
#include <utility>

#include "core/text.h"
#include "store/proof.h"

namespace moat::store {
namespace {

constexpr size_t max_path = 63;
constexpr size_t max_checkpoint = 16 * 1024;
constexpr std::string_view extra_word = "extra ";
constexpr std::string_view index_word = "index ";

Error malformed(const char* what) {
  return error(Errc::invalid, "this is not a proof of moat's: %s", what);
}

// Takes `prefix` and the rest of its line off `text`: that rest.
Result<std::string_view> take_line(std::string_view& text, std::string_view prefix) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return malformed("a line has no newline");
  std::string_view line = text.substr(0, end);
  if (line.substr(0, prefix.size()) != prefix)
    return error(Errc::invalid, "this is not a proof of moat's: a line '%.*s...' is missing",
                 static_cast<int>(prefix.size()), prefix.data());
  text.remove_prefix(end + 1);
  line.remove_prefix(prefix.size());
  return line;
}

Result<uint64_t> take_number(std::string_view& text, std::string_view prefix) {
  const auto line = take_line(text, prefix);
  if (!line) return line.error();
  const auto number = parse_number(*line, 0, UINT64_MAX);
  if (!number || *line != std::to_string(*number)) return malformed("a number is malformed");
  return *number;
}

// Hashes up to an empty line, which is taken as well.
Result<Hashes> take_path(std::string_view& text) {
  Hashes path;
  for (;;) {
    const auto line = take_line(text, "");
    if (!line) return line.error();
    if (line->empty()) return path;
    if (path.size() == max_path) return malformed("it has too many hashes");
    const auto bytes = from_base64(*line);
    Digest hash{};
    if (!bytes || bytes->size() != hash.size())
      return malformed("a hash is not 32 bytes in base64");
    std::memcpy(hash.data(), bytes->data(), hash.size());
    path.push_back(hash);
  }
}

Result<std::string> rest_as_checkpoint(std::string_view text) {
  if (text.empty() || text.size() > max_checkpoint) return malformed("it has no checkpoint");
  return std::string(text);
}

std::string path_and_checkpoint(const Hashes& path, const std::string& checkpoint) {
  std::string text;
  for (const Digest& hash : path) text += base64(view(hash)) + "\n";
  return text + "\n" + checkpoint;
}

}  // namespace

std::string write_proof(const InclusionProof& proof) {
  return std::string(inclusion_first_line) + "\n" + std::string(extra_word) + base64(proof.record) +
         "\n" + std::string(index_word) + std::to_string(proof.index) + "\n" +
         path_and_checkpoint(proof.path, proof.checkpoint);
}

std::string write_proof(const ConsistencyProof& proof) {
  return std::string(consistency_first_word) + std::to_string(proof.old_size) + "\n" +
         path_and_checkpoint(proof.path, proof.checkpoint);
}

Result<InclusionProof> read_inclusion(std::string_view text) {
  if (text.size() > max_proof) return malformed("it is too long");
  const auto first = take_line(text, inclusion_first_line);
  if (!first) return first.error();
  if (!first->empty()) return malformed("its first line is not that of a tlog-proof");
  const auto extra = take_line(text, extra_word);
  if (!extra) return extra.error();
  auto record = from_base64(*extra);
  if (!record) return malformed("the record is not base64");
  const auto index = take_number(text, index_word);
  if (!index) return index.error();
  auto path = take_path(text);
  if (!path) return path.error();
  auto checkpoint = rest_as_checkpoint(text);
  if (!checkpoint) return checkpoint.error();
  return InclusionProof{*index, std::move(*record), std::move(*path), std::move(*checkpoint)};
}

Result<ConsistencyProof> read_consistency(std::string_view text) {
  if (text.size() > max_proof) return malformed("it is too long");
  const auto old_size = take_number(text, consistency_first_word);
  if (!old_size) return old_size.error();
  auto path = take_path(text);
  if (!path) return path.error();
  auto checkpoint = rest_as_checkpoint(text);
  if (!checkpoint) return checkpoint.error();
  return ConsistencyProof{*old_size, std::move(*path), std::move(*checkpoint)};
}

}  // namespace moat::store
