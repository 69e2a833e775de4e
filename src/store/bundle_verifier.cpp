#include <array>
#include <cinttypes>
#include <cstring>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/json_grammar.h"
#include "core/text.h"
#include "store/bundle.h"
#include "store/evidence.h"
#include "store/merkle.h"
#include "store/note.h"
#include "store/proof.h"
#include "store/record_text.h"

namespace moat::store {
namespace {

constexpr uint64_t max_number = (uint64_t{1} << 53) - 1;

std::optional<Digest> digest_of(std::string_view base64_text) {
  const auto bytes = from_base64(base64_text);
  Digest digest{};
  if (!bytes || bytes->size() != digest.size()) return std::nullopt;
  std::memcpy(digest.data(), bytes->data(), digest.size());
  return digest;
}

// What stands between quotes; nothing in what is asked for has an escape.
std::string_view unquoted(std::string_view value) {
  if (value.size() < 2 || value.front() != '"') return {};
  return value.substr(1, value.size() - 2);
}

// The values of a line that has exactly these members, in their order.
template <size_t Count>
std::optional<std::array<std::string_view, Count>> members_of(
    std::string_view line, const std::array<std::string_view, Count>& keys) {
  std::array<std::string_view, Count> values;
  size_t found = 0;
  bool fits = true;
  const auto canonical =
      check_canonical_json(line, [&](std::string_view key, std::string_view value) {
        fits = fits && found < Count && key == keys[found];
        if (fits) values[found++] = value;
      });
  if (!canonical || !fits || found != Count) return std::nullopt;
  return values;
}

std::optional<uint64_t> number_in(std::string_view value) {
  return parse_number(value, 0, max_number);
}

// A string's own bytes.
std::optional<std::string> text_in(std::string_view value) {
  if (value.empty() || value.front() != '"') return std::nullopt;
  const auto json = Json::parse("[" + std::string(value) + "]");
  if (!json) return std::nullopt;
  return json->view()[0].string();
}

// As many as `parts`, from a list of strings.
std::optional<Hashes> hashes_in(std::string_view value, size_t count) {
  const auto json = Json::parse(value);
  if (!json || !json->view().is_array() || json->view().size() != count) return std::nullopt;
  Hashes hashes;
  for (const auto& element : json->view().elements()) {
    const auto digest = element.is_string() ? digest_of(element.string()) : std::nullopt;
    if (!digest) return std::nullopt;
    hashes.push_back(*digest);
  }
  return hashes;
}

}  // namespace

struct BundleVerifier::Impl {
  std::string public_key;
  OnTimestamp on_timestamp;
  BundleVerdict verdict;
  bool failed = false;

  std::string partial;  // the line that is coming
  uint64_t lines = 0;   // before the one that is looked at
  bool ended = false;

  std::optional<RecordChain> chain;  // from the header on
  MerkleTree tree;
  Hashes right;
  // The pieces that no record has attested yet.
  OutputDigest digest;
  uint64_t first_piece = 0;
  uint64_t pieces = 0;
  std::optional<uint64_t> next_piece;  // where that is known
  // What the line before was, as far as it matters.
  enum class After { other, record, checkpoint } after = After::other;
  std::string last_note;

  bool tampered(std::optional<uint64_t> seq, std::string problem) {
    verdict.kind = Verdict::Kind::tampered;
    verdict.problem = std::move(problem);
    verdict.problem_seq = seq;
    failed = true;
    return false;
  }
  bool wrong_line(const char* what) {
    return tampered(std::nullopt, format("line %" PRIu64 " %s", lines + 1, what));
  }

  bool take(std::string_view line);
  bool take_line(std::string_view line);
  bool take_header(std::string_view line);
  bool take_roots(std::string_view left, std::string_view right_roots);
  bool take_piece(std::string_view line);
  bool take_record(std::string_view line);
  bool check_output(uint64_t seq, std::string_view data);
  bool take_checkpoint(std::string_view line);
  bool take_timestamp(std::string_view line);
  bool take_end(std::string_view line);
  bool check_note(const std::string& note, uint64_t size, const std::string& which, TreeHead& head);
  void conclude();
};

bool BundleVerifier::Impl::take(std::string_view line) {
  const bool taken = take_line(line);
  ++lines;
  return taken;
}

bool BundleVerifier::Impl::take_line(std::string_view line) {
  if (ended) return wrong_line("comes after the bundle's end");
  if (!chain) return take_header(line);
  static constexpr struct {
    std::string_view begin;
    bool (Impl::*take)(std::string_view line);
  } kinds[] = {
      {R"({"data":)", &Impl::take_record},
      {R"({"bytes":)", &Impl::take_piece},
      {R"({"checkpoint":)", &Impl::take_checkpoint},
      {R"({"size":)", &Impl::take_timestamp},
      {R"({"end":)", &Impl::take_end},
  };
  for (const auto& kind : kinds) {
    if (line.substr(0, kind.begin.size()) == kind.begin) return (this->*kind.take)(line);
  }
  return wrong_line("is none that a bundle has");
}

bool BundleVerifier::Impl::take_header(std::string_view line) {
  static constexpr std::array<std::string_view, 8> keys = {"bundle", "checkpoint", "from", "left",
                                                           "right",  "run",        "size", "to"};
  const auto header = members_of(line, keys);
  if (!header) return wrong_line("is not the header of a bundle");
  const auto& [version, checkpoint, from, left, right_roots, run, size, to] = *header;
  if (number_in(version) != bundle_format)
    return tampered(std::nullopt,
                    "the bundle has a format that this version of moat does not know");
  const auto note = text_in(checkpoint);
  const auto id = text_in(run);
  const auto first = number_in(from);
  const auto last = number_in(to);
  const auto whole = number_in(size);
  if (!note || !id || !first || !last || !whole || *last <= *first || *whole < *last)
    return wrong_line("is not the header of a bundle");
  verdict.run = *id;
  verdict.stretch = {*first, *last};
  if (!check_note(*note, *whole, "the header's checkpoint ", verdict.head)) return false;
  return take_roots(left, right_roots);
}

bool BundleVerifier::Impl::take_roots(std::string_view left, std::string_view right_roots) {
  const auto [from, to] = verdict.stretch;
  const auto before = hashes_in(left, subtrees_of(0, from).size());
  auto behind = hashes_in(right_roots, subtrees_of(to, verdict.head.size).size());
  if (!before || !behind)
    return wrong_line("has not the roots that the stretch needs to its left and right");
  right = std::move(*behind);
  tree = MerkleTree(from, *before);
  // Where the subtree before the first record is a single leaf, it is its predecessor.
  std::optional<Digest> previous;
  if (from == 0) previous = Digest{};
  if ((from & 1) == 1) previous = before->back();
  chain.emplace(verdict.run, from, previous);
  if (from == 0) next_piece = 0;
  return true;
}

bool BundleVerifier::Impl::check_note(const std::string& note, uint64_t size,
                                      const std::string& which, TreeHead& head) {
  const auto checkpoint = read_checkpoint(note, public_key);
  if (!checkpoint)
    return tampered(std::nullopt, which + "does not fit: " + checkpoint.error().message);
  if (checkpoint->origin != "moat.run/" + verdict.run)
    return tampered(std::nullopt, which + "is of another run");
  if (checkpoint->head.size != size)
    return tampered(std::nullopt, which + "is over another number of records than it is said");
  head = checkpoint->head;
  return true;
}

bool BundleVerifier::Impl::take_piece(std::string_view line) {
  static constexpr std::array<std::string_view, 4> keys = {"bytes", "output", "stream", "time"};
  const auto piece = members_of(line, keys);
  if (!piece) return wrong_line("is not a piece of output");
  const auto& [bytes, output, stream, time] = *piece;
  const auto content = from_base64(unquoted(bytes));
  const auto number = number_in(output);
  const auto of_stream = parse_number(stream, 0, 255);
  const std::string_view digits = unquoted(time);
  const auto time_ns = parse_number(digits, 0, UINT64_MAX);
  const bool is_text = bytes.size() >= 2 && bytes.front() == '"';
  if (!is_text || !content || !number || !of_stream || !time_ns ||
      digits != std::to_string(*time_ns))
    return wrong_line("is not a piece of output");
  if (chain->size() >= verdict.stretch.to) return wrong_line("is output that no record attests");
  if (pieces == 0) first_piece = *number;
  if (*number != first_piece + pieces || (next_piece && *number != *next_piece + pieces))
    return wrong_line("is another piece of output than the next");
  const std::string value =
      output_value(static_cast<int64_t>(*time_ns), static_cast<int>(*of_stream), *content);
  if (!is_output_value(value)) return wrong_line("is not a piece of output");
  digest.add(value);
  ++pieces;
  after = After::other;
  return true;
}

bool BundleVerifier::Impl::take_record(std::string_view line) {
  const uint64_t seq = chain->size();
  if (seq >= verdict.stretch.to) return wrong_line("is a record beyond the stretch");
  const auto record = chain->take(line);
  if (!record) return tampered(seq, record.error().message);
  if (chain->end() != RecordChain::End::none && chain->size() != verdict.head.size)
    return tampered(seq, format("record %" PRIu64 " ends the run, but more were signed", seq));
  if (record->type == R"("output")") {
    if (!check_output(seq, record->data)) return false;
  } else if (pieces > 0) {
    return tampered(seq, format("record %" PRIu64 " follows output that it does not attest", seq));
  }
  if (record->type == R"("exchange")") ++verdict.exchanges;
  tree.append(chain->leaf());
  if (verdict.records++ == 0) verdict.first_time = unquoted(record->time);
  verdict.last_time = unquoted(record->time);
  after = After::record;
  return true;
}

bool BundleVerifier::Impl::check_output(uint64_t seq, std::string_view data) {
  const auto said = read_attestation(data);
  if (!said || (next_piece && said->from != *next_piece))
    return tampered(seq, format("record %" PRIu64 " does not attest the output from the next piece "
                                "on",
                                seq));
  if (pieces == 0 || said->from != first_piece || said->to - said->from != pieces - 1)
    return tampered(seq, format("record %" PRIu64 " attests the pieces %" PRIu64 " to %" PRIu64
                                ", which are not those before it",
                                seq, said->from, said->to));
  if (said->sha256 != quoted_hex(digest.digest()))
    return tampered(seq,
                    format("record %" PRIu64 " does not fit the output before it, pieces %" PRIu64
                           " to %" PRIu64,
                           seq, said->from, said->to));
  verdict.output += pieces;
  next_piece = said->to + 1;
  pieces = 0;
  digest = OutputDigest();
  return true;
}

bool BundleVerifier::Impl::take_checkpoint(std::string_view line) {
  static constexpr std::array<std::string_view, 2> keys = {"checkpoint", "size"};
  const auto said = members_of(line, keys);
  const auto note = said ? text_in((*said)[0]) : std::nullopt;
  const auto size = said ? number_in((*said)[1]) : std::nullopt;
  if (!note || !size) return wrong_line("is not a checkpoint");
  if (after != After::record || *size != tree.size())
    return wrong_line("is a checkpoint in the place of another");
  const std::string which = format("the checkpoint over %" PRIu64 " records ", *size);
  TreeHead head;
  if (!check_note(*note, *size, which, head)) return false;
  if (head.root != tree.root())
    return tampered(std::nullopt, which + "was signed over other records than these");
  ++verdict.checkpoints;
  after = After::checkpoint;
  last_note = *note;
  return true;
}

bool BundleVerifier::Impl::take_timestamp(std::string_view line) {
  static constexpr std::array<std::string_view, 2> keys = {"size", "timestamp"};
  const auto said = members_of(line, keys);
  const auto size = said ? number_in((*said)[0]) : std::nullopt;
  const auto bytes = said ? from_base64(unquoted((*said)[1])) : error(Errc::invalid, "no stamp");
  if (!size || !bytes || bytes->empty()) return wrong_line("is not a time stamp");
  if (after != After::checkpoint || *size != tree.size())
    return wrong_line("is a time stamp in the place of another");
  const auto judged = on_timestamp ? on_timestamp(*size, last_note, *bytes) : Result<void>();
  if (!judged)
    return tampered(std::nullopt, format("the time stamp over %" PRIu64 " records does not fit: %s",
                                         *size, judged.error().message.c_str()));
  ++verdict.timestamps;
  after = After::other;
  return true;
}

bool BundleVerifier::Impl::take_end(std::string_view line) {
  static constexpr std::array<std::string_view, 1> keys = {"end"};
  const auto said = members_of(line, keys);
  const auto count = said ? number_in((*said)[0]) : std::nullopt;
  if (!count) return wrong_line("is not the end of a bundle");
  const uint64_t to = verdict.stretch.to;
  if (chain->size() != to || pieces > 0)
    return tampered(chain->size(), format("record %" PRIu64 " is missing", chain->size()));
  if (*count != lines) return wrong_line("says that there are more lines, or fewer, before it");
  const auto parts = subtrees_of(to, verdict.head.size);
  for (size_t i = 0; i < parts.size(); ++i) tree.append_subtree(parts[i].level, right[i]);
  if (tree.root() != verdict.head.root)
    return tampered(std::nullopt,
                    "the header's checkpoint was signed over other records than "
                    "these");
  ended = true;
  return true;
}

void BundleVerifier::Impl::conclude() {
  if (!ended) {
    tampered(std::nullopt, "the bundle is cut off: its end is missing");
    return;
  }
  verdict.kind = Verdict::Kind::valid;
  if (!verdict.whole() || chain->end() == RecordChain::End::ended) return;
  verdict.kind = Verdict::Kind::incomplete;
  verdict.problem = chain->end() == RecordChain::End::lost
                        ? "the supervisor was lost, and how the run ended is not known"
                        : "there is no record of the run's end";
}

BundleVerifier::BundleVerifier(std::string public_key_der, OnTimestamp on_timestamp)
    : impl_(std::make_unique<Impl>()) {
  impl_->public_key = std::move(public_key_der);
  impl_->on_timestamp = std::move(on_timestamp);
}
BundleVerifier::~BundleVerifier() = default;

bool BundleVerifier::feed(std::string_view bytes) {
  Impl& self = *impl_;
  while (!self.failed && !bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (self.partial.size() + piece.size() >= max_bundle_line)
      return self.wrong_line("is longer than any that a bundle has");
    if (end == std::string_view::npos) {
      self.partial.append(piece);
      return true;
    }
    bytes.remove_prefix(end + 1);
    if (self.partial.empty()) {
      self.take(piece);
      continue;
    }
    self.partial.append(piece);
    self.take(self.partial);
    self.partial.clear();
  }
  return !self.failed;
}

BundleVerdict BundleVerifier::finish() {
  Impl& self = *impl_;
  if (!self.failed && !self.partial.empty()) self.wrong_line("is cut off");
  if (!self.failed) self.conclude();
  return std::move(self.verdict);
}

}  // namespace moat::store
