#include "proxy/aws_signer.h"

#include <algorithm>
#include <utility>

#include "core/crypto.h"
#include "core/text.h"
#include "proxy/aws_chunks.h"
#include "proxy/aws_operations.h"

namespace moat::proxy {
namespace {

constexpr std::string_view hash_header = "X-Amz-Content-Sha256";
constexpr std::string_view unsigned_trailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
constexpr std::string_view signed_chunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
constexpr std::string_view signed_chunks_trailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";

std::string hash_of(std::string_view body) {
  return hex(view(sha256(body)));
}

bool has_label(std::string_view host, std::string_view begin, bool whole) {
  for (const std::string_view label : split(host, '.'))
    if (whole ? label == begin : label.starts_with(begin)) return true;
  return false;
}

bool is_amazons(std::string_view host) {
  return host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn") ||
         host.ends_with(".api.aws");
}

// Names of Amazon's behind which any customer may listen to the requests that come. A signature
// that is made for one of them is for the service that lets them, and for no other.
Result<void> check_host(std::string_view host, const AwsScope& scope) {
  constexpr std::pair<std::string_view, std::string_view> rented[] = {
      {"execute-api", "execute-api"},
      {"appsync-api", "appsync"},
      {"appsync-realtime-api", "appsync"},
      {"elb", ""},
      {"compute", ""},
      {"compute-1", ""}};
  if (!is_amazons(host)) return {};
  for (const auto& [label, service] : rented) {
    if (!has_label(host, label, true) || scope.service == service) continue;
    return error(Errc::denied,
                 "%s is served by a customer of AWS; a request to it is not signed for the service "
                 "%s",
                 std::string(host).c_str(), printable(scope.service).c_str());
  }
  return {};
}

// A browser's upload has its signature in a field of the form, where nobody looks.
bool is_form_upload(std::string_view host, const RequestHead& head) {
  if (head.method != "POST" || (is_amazons(host) && !has_label(host, "s3", false))) return false;
  const Header* type = find(head.headers, "Content-Type");
  return type != nullptr && lower(trim(type->value)).starts_with("multipart/form-data");
}

bool is_hash(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}

}  // namespace

class AwsSigner::Signing final : public RequestSigning {
 public:
  Signing(AwsSigner& owner, const RequestHead& head, std::optional<AwsSignature> signature,
          BodyLength length)
      : owner_(owner),
        head_(head),
        theirs_(std::move(signature)),
        announced_(length.kind == BodyLength::Kind::counted ? length.bytes : 0),
        has_body_(announced_ > 0 || (length.kind != BodyLength::Kind::none &&
                                     length.kind != BodyLength::Kind::counted)) {}
  ~Signing() override { owner_.gathered_ -= body_.size(); }
  Signing(const Signing&) = delete;
  Signing& operator=(const Signing&) = delete;

  // How the payload is signed.
  Result<void> begin() {
    if (!theirs_) return {};
    if (auto said = begin_payload(); !said) return said;
    wants_body_ = wants_body_ || (has_body_ && aws_names_operation_in_body(theirs_->scope.service));
    if (wants_body_ && announced_ > largest_body) return too_large();
    return {};
  }

  Result<void> begin_payload() {
    const size_t hashes = count(head_.headers, hash_header);
    if (hashes > 1)
      return error(Errc::invalid, "the request says more than once what the hash of its body is");
    if (hashes == 1) {
      hash_ = find(head_.headers, hash_header)->value;
      trailer_ = hash_ == signed_chunks_trailer;
      chunked_ = trailer_ || hash_ == signed_chunks;
      const bool other_way = chunked_ && theirs_->scope.asymmetric();
      if (other_way ||
          (!chunked_ && hash_ != unsigned_payload && hash_ != unsigned_trailer && !is_hash(hash_)))
        return error(Errc::unsupported,
                     "the body of the request is signed in a way that moat cannot sign anew: %s",
                     printable(hash_.substr(0, 64)).c_str());
      return {};
    }
    if (theirs_->presigned && (!has_body_ || theirs_->scope.service.starts_with("s3")))
      hash_ = unsigned_payload;
    wants_body_ = hash_.empty() && has_body_;
    return {};
  }

  [[nodiscard]] bool wants_body() const override { return wants_body_; }

  Result<void> gather(std::string_view bytes) override {
    if (body_.size() + bytes.size() > largest_body) return too_large();
    if (owner_.gathered_ + bytes.size() > all_bodies)
      return error(Errc::full, "too many bodies wait to be signed; try again");
    body_ += bytes;
    owner_.gathered_ += bytes.size();
    return {};
  }

  void check(std::function<void(const Result<void>&)> done) override {
    if (!theirs_) return done({});
    if (!verify())
      return done(error(Errc::denied,
                        "the AWS signature of the request does not fit it: it was changed after it "
                        "was signed, or signed with another key than that of this run"));
    if (const auto what = aws_gives_out_credentials(theirs_->scope.service, head_, body_))
      return done(error(Errc::denied,
                        "%s is answered with credentials of AWS's, which the sandbox is to have as "
                        "little as those that sign for it",
                        printable(what->substr(0, 100)).c_str()));
    owner_.await_keys(std::move(done));
  }

  [[nodiscard]] std::shared_ptr<const ScrubPatterns> secrets() const override {
    const std::shared_ptr<const Held> held = owner_.held_;
    if (!held || held->secrets.empty()) return nullptr;
    return {held, &held->secrets};
  }

  Result<Applied> sign(RequestHead& head) override {
    Applied applied;
    std::vector<std::string> names = owner_.settings_.credential_headers;
    if (!theirs_) names.emplace_back("X-Amz-Security-Token");
    for (const std::string& name : names) {
      // The signature itself is replaced.
      if (theirs_ && !theirs_->presigned && equals_ignoring_case(name, "Authorization")) continue;
      if (remove_all(head.headers, name) > 0) applied.stripped.push_back(name);
    }
    if (!theirs_) return applied;
    if (!owner_.held_) return error(Errc::io, "the AWS keys have gone");
    const AwsKeys& keys = owner_.held_->keys;
    AwsSignature ours = *theirs_;
    if (auto signed_anew = sign_anew(head, ours, form_, keys, hash_); !signed_anew)
      return signed_anew.error();
    if (chunked_) {
      chunks_.emplace(
          ours.time, ours.scope.text(),
          AwsChunks::Signer{
              aws_signing_key(owner_.settings_.placeholder.secret_key, theirs_->scope),
              theirs_->signature},
          AwsChunks::Signer{aws_signing_key(keys.secret_key, ours.scope), ours.signature},
          trailer_);
    }
    applied.labels.push_back(owner_.settings_.label);
    return applied;
  }

  std::string take_body() override {
    owner_.gathered_ -= body_.size();
    return std::exchange(body_, {});
  }

  Result<std::string_view> pass(std::string_view bytes) override {
    if (!chunks_) return bytes;
    auto out = chunks_->feed(bytes);
    if (!out) return out.error();
    passed_ = std::move(*out);
    return std::string_view(passed_);
  }

  Result<void> finish() override {
    if (!chunks_) return {};
    return chunks_->finish();
  }

 private:
  bool verify() {
    std::vector<std::string> hashes;
    if (wants_body_ || !has_body_) hashes.push_back(hash_of(body_));
    if (!hash_.empty()) hashes.insert(hashes.begin(), hash_);
    if (theirs_->presigned && hash_ != unsigned_payload) hashes.emplace_back(unsigned_payload);
    for (std::string& hash : hashes) {
      const auto form =
          verify_aws_signature(head_, *theirs_, owner_.settings_.placeholder.secret_key, hash);
      if (!form) continue;
      form_ = *form;
      hash_ = std::move(hash);
      return true;
    }
    return false;
  }

  static Error too_large() {
    return error(Errc::too_large,
                 "a body that comes without X-Amz-Content-Sha256 has to be read before it can be "
                 "signed, and may have %s",
                 human_bytes(largest_body).c_str());
  }

  AwsSigner& owner_;
  RequestHead head_;  // as the agent sent and signed it
  std::optional<AwsSignature> theirs_;
  uint64_t announced_;  // bytes of the body; 0: not said
  bool has_body_;
  bool wants_body_ = false;
  bool chunked_ = false;
  bool trailer_ = false;
  std::string hash_;  // what stands for the body in what is signed
  CanonicalForm form_;
  std::string body_;
  std::optional<AwsChunks> chunks_;
  std::string passed_;
};

AwsSigner::AwsSigner(AwsSignerSettings settings) : settings_(std::move(settings)) {}
AwsSigner::~AwsSigner() = default;

Result<std::unique_ptr<RequestSigning>> AwsSigner::begin(std::string_view scheme,
                                                         std::string_view host,
                                                         const RequestHead& head,
                                                         BodyLength length) {
  auto found = find_aws_signature(head);
  if (!found) return found.error();
  if (*found) {
    const AwsSignature& signature = **found;
    if (scheme != "https")
      return error(Errc::denied, "a request is signed for AWS over TLS only: use https");
    if (signature.access_key != settings_.placeholder.access_key)
      return error(Errc::denied,
                   "the request is signed with the AWS key %s, which is not that of this run (%s)",
                   printable(signature.access_key).c_str(),
                   settings_.placeholder.access_key.c_str());
    if (auto checked = check_host(host, signature.scope); !checked) return checked.error();
  } else if (is_form_upload(host, head)) {
    return error(Errc::denied,
                 "an upload as a form carries its AWS signature in the body, where it cannot be "
                 "signed anew");
  }
  auto signing = std::make_unique<Signing>(*this, head, std::move(*found), length);
  if (auto begun = signing->begin(); !begun) return begun.error();
  return std::unique_ptr<RequestSigning>(std::move(signing));
}

void AwsSigner::set_keys(AwsKeys keys) {
  auto held = std::make_shared<Held>();
  std::vector<Secret> tokens;
  if (!keys.session_token.empty()) tokens.push_back(keys.session_token.clone());
  if (!last_token_.empty()) tokens.push_back(std::move(last_token_));
  held->secrets.add(tokens);
  last_token_ = keys.session_token.clone();
  held->keys = std::move(keys);
  held_ = std::move(held);
  failure_.reset();
  settle();
}

void AwsSigner::set_failure(Error why) {
  held_.reset();
  failure_ = std::move(why);
  settle();
}

void AwsSigner::await_keys(std::function<void(const Result<void>&)> done) {
  if (held_) return done({});
  if (failure_) return done(*failure_);
  waiting_.push_back(std::move(done));
}

void AwsSigner::settle() {
  const auto waiting = std::exchange(waiting_, {});
  for (const auto& done : waiting) await_keys(done);
}

AwsKeys placeholder_aws_keys() {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  AwsKeys keys;
  keys.access_key = "AKIAMOAT";
  for (const char c : random_bytes(12))
    keys.access_key += letters[static_cast<unsigned char>(c) % letters.size()];
  keys.secret_key = Secret(base64(random_bytes(30)));  // 40 characters, as real ones have
  return keys;
}

}  // namespace moat::proxy
