#include "proxy/minted_answer.h"

#include <utility>

#include "core/secret.h"
#include "core/text.h"
#include "proxy/content_coding.h"
#include "proxy/gunzip.h"

namespace moat::proxy {
namespace {

// What is said of the body that came, and does not hold for the one that leaves.
constexpr std::string_view of_the_body[] = {
    "Content-Encoding", "Content-Length", "Content-Digest", "Repr-Digest", "Digest",
    "Content-MD5",      "ETag",           "Accept-Ranges",  "Trailer"};

Error unreadable(const std::string& why) {
  return error(Errc::unsupported, "the answer may hold a token, and cannot be read: %s",
               why.c_str());
}

Error too_large() {
  return unreadable("it is larger than " + human_bytes(MintedAnswer::largest));
}

}  // namespace

MintedAnswer::MintedAnswer(Mint& mint, const Minting& minting, ResponseHead head, bool gzip)
    : mint_(mint), minting_(minting), head_(std::move(head)), gzip_(gzip) {}

MintedAnswer::~MintedAnswer() {
  wipe(body_);
}

Result<std::unique_ptr<MintedAnswer>> MintedAnswer::begin(Mint& mint, const Minting& minting,
                                                          ResponseHead head, BodyLength length) {
  const Coding coding = content_coding(head.headers);
  if (coding == Coding::other) return unreadable("it is in a coding that was not asked for");
  if (head.status == 206) return unreadable("it is a part, and was not asked for as one");
  if (length.kind == BodyLength::Kind::counted && length.bytes > largest) return too_large();
  std::unique_ptr<MintedAnswer> answer(
      new MintedAnswer(mint, minting, std::move(head), coding == Coding::gzip));
  // At once, so that growing leaves no copies.
  answer->body_.reserve(length.kind == BodyLength::Kind::counted ? length.bytes : largest);
  return answer;
}

Result<void> MintedAnswer::gather(std::string_view bytes) {
  if (body_.size() + bytes.size() > largest) return too_large();
  body_ += bytes;
  return {};
}

Result<MintedAnswer::Finished> MintedAnswer::finish() {
  if (gzip_) {
    auto text = gunzip(body_, largest);
    if (!text) return unreadable(text.error().message);
    wipe(body_);
    body_ = std::move(*text);
  }
  Finished out;
  auto taken = mint_.take(minting_, body_);
  const bool good = head_.status >= 200 && head_.status < 300;
  if (taken) {
    out.body = std::move(taken->text);
    out.tokens = std::move(taken->tokens);
    out.minted = std::move(taken->minted);
  } else if (good && !body_.empty()) {
    return unreadable(taken.error().message);
  } else {
    out.body = std::move(body_);  // of an error: a page, or nothing
  }
  out.head = std::move(head_);
  for (const std::string_view name : of_the_body) remove_all(out.head.headers, name);
  out.head.headers.push_back({"Content-Length", std::to_string(out.body.size())});
  return out;
}

}  // namespace moat::proxy
