#include "store/record_text.h"

#include <array>
#include <cinttypes>

#include "core/clock.h"
#include "core/json_grammar.h"
#include "core/json_text.h"
#include "core/text.h"
#include "store/merkle.h"
#include "store/schema.h"

namespace moat::store {
namespace {

struct Member {
  std::string_view key;
  char begins = '"';  // what its value is known by; '0' stands for a number
  std::string_view RecordText::*value;
};
constexpr std::array<Member, 6> members = {{{"data", '{', &RecordText::data},
                                            {"prev", '"', &RecordText::prev},
                                            {"run", '"', &RecordText::run},
                                            {"seq", '0', &RecordText::seq},
                                            {"time", '"', &RecordText::time},
                                            {"type", '"', &RecordText::type}}};

bool is_kind(std::string_view value, char begins) {
  const char first = value[0];
  return first == begins || (begins == '0' && (first == '-' || (first >= '0' && first <= '9')));
}

Error wrong(const char* what) {
  return error(Errc::tampered, "%s", what);
}

// With all that RFC 3339 leaves open decided: "2023-11-14T22:13:20.123456Z".
bool is_time(std::string_view quoted) {
  return quoted.size() == 29 && quoted[11] == 'T' && quoted[20] == '.' && quoted[27] == 'Z' &&
         parse_rfc3339(quoted.substr(1, 27));
}

}  // namespace

Result<RecordText> read_record(std::string_view record) {
  if (record.size() > max_record) return wrong("is larger than a record can be");
  RecordText text;
  size_t found = 0;
  bool fits = true;
  const auto canonical =
      check_canonical_json(record, [&](std::string_view key, std::string_view value) {
        fits = fits && found < members.size() && key == members[found].key &&
               is_kind(value, members[found].begins);
        if (fits) text.*members[found++].value = value;
      });
  if (!canonical) return wrong(("is " + canonical.error().message).c_str());
  if (!fits || found != members.size()) return wrong("has not the members that a record has");
  return text;
}

std::optional<Attestation> read_attestation(std::string_view data) {
  std::optional<uint64_t> from;
  std::optional<uint64_t> to;
  std::string_view digest;
  const auto read = check_canonical_json(data, [&](std::string_view key, std::string_view value) {
    if (key == "from") from = parse_number(value, 0, INT64_MAX);
    if (key == "to") to = parse_number(value, 0, INT64_MAX);
    if (key == "sha256") digest = value;
  });
  if (!read || !from || !to || *to < *from) return std::nullopt;
  return Attestation{*from, *to, digest};
}

std::string quoted_hex(const Digest& digest) {
  std::string text;
  text.reserve(2 + 2 * digest.size());
  text += '"';
  append_hex(text, view(digest));
  return text += '"';
}

RecordChain::RecordChain(const std::string& run_id, uint64_t from, std::optional<Digest> previous)
    : size_(from), knows_previous_(previous.has_value()), previous_(previous.value_or(Digest{})) {
  append_json_string(run_, run_id);
}

Result<RecordText> RecordChain::take(std::string_view record) {
  auto text = read_record(record);
  if (text) {
    if (auto fits = check(*text); !fits) text = fits.error();
  }
  if (!text)
    return error(Errc::tampered, "record %" PRIu64 " %s", size_, text.error().message.c_str());
  ++size_;
  previous_ = leaf_hash(record);
  knows_previous_ = true;
  if (text->type == R"("run.ended")") end_ = End::ended;
  if (text->type == R"("run.lost")") end_ = End::lost;
  return text;
}

Result<void> RecordChain::check(const RecordText& record) const {
  std::string seq;
  append_json_number(seq, static_cast<int64_t>(size_));
  if (record.seq != seq) return wrong("stands in the place of another");
  if (record.run != run_) return wrong("is of another run");
  if (knows_previous_ && record.prev != quoted_hex(previous_))
    return size_ == 0 ? wrong("is not the first of a chain")
                      : error(Errc::tampered,
                              "does not continue record %" PRIu64 ": one of the two was changed",
                              size_ - 1);
  if (!is_time(record.time)) return wrong("has no time");
  if (end_ == End::ended) return wrong("comes after the end of the run");
  if (end_ == End::lost) return wrong("comes after the supervisor was lost");
  const bool created = record.type == R"("run.created")";
  if (created != (size_ == 0))
    return wrong(created ? "says once more that the run was created"
                         : "does not say that the run was created");
  return {};
}

}  // namespace moat::store
