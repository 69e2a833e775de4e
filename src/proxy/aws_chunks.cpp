#include "proxy/aws_chunks.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/crypto.h"
#include "core/hmac.h"
#include "core/text.h"

namespace moat::proxy {
namespace {

constexpr std::string_view extension = ";chunk-signature=";
constexpr std::string_view trailer_signature = "x-amz-trailer-signature";
constexpr size_t signature_size = 64;
constexpr size_t most_size_digits = 8;
constexpr size_t longest_head = most_size_digits + extension.size() + signature_size + 2;

Error no_chunks(const char* what) {
  return error(Errc::invalid, "the body is not in signed chunks, as its head says: %s", what);
}

bool is_hex(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
}

size_t number_of(std::string_view digits) {
  size_t number = 0;
  for (const char c : digits)
    number = number * 16 + static_cast<size_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  return number;
}

}  // namespace

AwsChunks::AwsChunks(std::string time, std::string scope, Signer agent, Signer ours, bool trailer)
    : time_(std::move(time)),
      scope_(std::move(scope)),
      agent_(std::move(agent)),
      ours_(std::move(ours)),
      trailer_(trailer) {}

std::string AwsChunks::sign(Signer& signer, std::string_view kind, std::string_view hashes) const {
  const Digest mac = hmac_sha256(signer.key.reveal(), {"AWS4-HMAC-SHA256-", kind, "\n", time_, "\n",
                                                       scope_, "\n", signer.last, "\n", hashes});
  signer.last = hex(view(mac));
  return signer.last;
}

Result<std::string> AwsChunks::replace(std::string_view theirs, std::string_view kind,
                                       std::string_view hashes) {
  if (!equal_in_constant_time(sign(agent_, kind, hashes), theirs))
    return error(Errc::denied,
                 "a chunk of the body is not what was signed with the key of this run");
  return sign(ours_, kind, hashes);
}

Result<std::string> AwsChunks::feed(std::string_view bytes) {
  // What is held is never more than one chunk, and what is fed is used up as far as it goes.
  held_ += bytes;
  std::string_view text = held_;
  std::string out;
  for (bool more = true; more;) {
    Result<bool> took = false;
    switch (state_) {
      case State::head:
        took = take_head(text);
        break;
      case State::data:
        took = take_data(text, out);
        break;
      case State::trailer:
        took = take_trailer(text, out);
        break;
      case State::over:
        if (!text.empty()) return no_chunks("it goes on after the last one");
        break;
    }
    if (!took) return took.error();
    more = *took;
  }
  held_.erase(0, held_.size() - text.size());
  return out;
}

Result<void> AwsChunks::finish() const {
  if (state_ != State::over) return no_chunks("it ends before the last one does");
  return {};
}

Result<bool> AwsChunks::take_head(std::string_view& text) {
  const size_t end = text.substr(0, longest_head).find("\r\n");
  if (end == std::string_view::npos) {
    if (text.size() >= longest_head) return no_chunks("the first line of one is too long");
    return false;
  }
  const std::string_view line = text.substr(0, end);
  const size_t digits = line.find(';');
  if (digits > most_size_digits || !is_hex(line.substr(0, digits)) ||
      !line.substr(digits).starts_with(extension))
    return no_chunks("one begins with something else than a size and a signature");
  const std::string_view signature = line.substr(digits + extension.size());
  if (signature.size() != signature_size || !is_hex(signature))
    return no_chunks("the signature of one has not 64 hexadecimal digits");
  size_text_ = line.substr(0, digits);
  size_ = number_of(size_text_);
  theirs_ = signature;
  if (size_ > largest_chunk)
    return error(Errc::too_large,
                 "a signed chunk of %zu bytes is too large to be signed anew: it may have %zu",
                 size_, largest_chunk);
  text.remove_prefix(end + 2);
  state_ = State::data;
  return true;
}

Result<bool> AwsChunks::take_data(std::string_view& text, std::string& out) {
  // Trailers follow the line of the last chunk at once.
  const bool last = size_ == 0;
  const size_t whole = last && trailer_ ? 0 : size_ + 2;
  if (text.size() < whole) return false;
  if (whole > 0 && text.substr(size_, 2) != "\r\n")
    return no_chunks("one does not end where it should");
  const std::string_view data = text.substr(0, size_);
  const std::string hashes = hex(view(sha256(std::string_view()))) + "\n" + hex(view(sha256(data)));
  const auto ours = replace(theirs_, "PAYLOAD", hashes);
  if (!ours) return ours.error();
  out.append(size_text_).append(extension).append(*ours).append("\r\n");
  out.append(text.substr(0, whole));
  text.remove_prefix(whole);
  state_ = !last ? State::head : trailer_ ? State::trailer : State::over;
  return true;
}

Result<bool> AwsChunks::take_trailer(std::string_view& text, std::string& out) {
  const size_t end = text.substr(0, largest_trailer).find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (text.size() >= largest_trailer)
      return error(Errc::too_large, "the trailers of the body have more than %zu bytes",
                   largest_trailer);
    return false;
  }
  std::vector<std::string> lines;
  std::string theirs;
  std::string passed;
  std::string_view rest = text.substr(0, end + 2);
  while (!rest.empty()) {
    const size_t line_end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, line_end);
    const size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos || !theirs.empty())
      return no_chunks("its trailers are not lines of NAME:VALUE that end in their signature");
    const std::string name = lower(line.substr(0, colon));
    const std::string_view value = trim(line.substr(colon + 1));
    if (name == trailer_signature) {
      theirs = value;
    } else {
      lines.push_back(name + ":" + std::string(value) + "\n");
      passed.append(line).append("\r\n");
    }
    rest.remove_prefix(line_end + 2);
  }
  std::sort(lines.begin(), lines.end());
  std::string canonical;
  for (const std::string& line : lines) canonical += line;
  const auto ours = replace(theirs, "TRAILER", hex(view(sha256(canonical))));
  if (!ours) return ours.error();
  out.append(passed).append(trailer_signature).append(":").append(*ours).append("\r\n\r\n");
  text.remove_prefix(end + 4);
  state_ = State::over;
  return true;
}

}  // namespace moat::proxy
