// JsonBody: a request whose credential goes into the JSON of its body. The whole body is gathered
// first, for until its end nobody knows that it is JSON, or that it has no second member of the
// name.
#pragma once

#include <memory>
#include <string>

#include "proxy/injection.h"
#include "proxy/request_signer.h"

namespace moat::proxy {

class JsonBody final : public RequestSigning {
 public:
  static constexpr size_t largest_body = 1024 * 1024;
  static constexpr size_t all_bodies = 32 * 1024 * 1024;

  // Null: this request's body is to take no credential. Errc::denied, unsupported or too_large: it
  // is to take one, and cannot. `gathered` counts the bytes that wait in the run; like the
  // injector, it outlives the body.
  static Result<std::unique_ptr<JsonBody>> begin(const Injector& injector, std::string_view scheme,
                                                 std::string_view host, const RequestHead& head,
                                                 BodyLength length, size_t& gathered);
  ~JsonBody() override;
  JsonBody(const JsonBody&) = delete;
  JsonBody& operator=(const JsonBody&) = delete;

  [[nodiscard]] bool wants_body() const override { return true; }
  Result<void> gather(std::string_view bytes) override;
  // Errc::invalid: the body is none that a credential can be put into.
  void check(std::function<void(const Result<void>&)> done) override;
  [[nodiscard]] std::shared_ptr<const ScrubPatterns> secrets() const override;
  Result<Applied> sign(RequestHead& head) override;
  std::string take_body() override;
  Result<std::string_view> pass(std::string_view bytes) override { return bytes; }
  Result<void> finish() override { return {}; }

  [[nodiscard]] size_t size() const { return sent_.size(); }  // as signed
  // The body as the record may have it: the agent's, without what was in the credential's place.
  [[nodiscard]] const std::string& shown() const { return shown_; }

 private:
  JsonBody(const Injector& injector, std::string_view scheme, std::string_view host,
           const RequestHead& head, size_t& gathered)
      : injector_(injector),
        scheme_(scheme),
        host_(host),
        target_(head.path),
        gathered_(gathered) {}

  const Injector& injector_;
  std::string scheme_;
  std::string host_;
  std::string target_;
  size_t& gathered_;
  std::string body_;  // as the agent sent it
  std::string shown_;
  std::string sent_;
};

}  // namespace moat::proxy
