#include "proxy/json_body.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "proxy/json_members.h"

namespace moat::proxy {
namespace {

bool is_json(const Headers& headers) {
  const Header* type = find(headers, "Content-Type");
  if (type == nullptr || count(headers, "Content-Type") != 1) return false;
  const std::string_view whole = type->value;
  const std::string media = lower(trim(whole.substr(0, whole.find(';'))));
  return media == "application/json" ||
         (media.starts_with("application/") && media.ends_with("+json"));
}

Error too_large() {
  return error(Errc::too_large,
               "a body that a credential is put into has to be read before it can be sent, and may "
               "have %s",
               human_bytes(JsonBody::largest_body).c_str());
}

}  // namespace

Result<std::unique_ptr<JsonBody>> JsonBody::begin(const Injector& injector, std::string_view scheme,
                                                  std::string_view host, const RequestHead& head,
                                                  BodyLength length, size_t& gathered) {
  const bool empty = length.kind == BodyLength::Kind::none ||
                     (length.kind == BodyLength::Kind::counted && length.bytes == 0);
  if (empty || !injector.wants_body(host, head.path)) return std::unique_ptr<JsonBody>();
  const std::string to(host);
  if (scheme != "https")
    return error(Errc::denied, "%s takes its credential in a body over TLS only: use https",
                 to.c_str());
  if (!is_json(head.headers))
    return error(
        Errc::unsupported,
        "%s takes its credential in a body of JSON, and the Content-Type says that this is "
        "something else",
        to.c_str());
  const Header* coding = find(head.headers, "Content-Encoding");
  if (coding != nullptr && !equals_ignoring_case(trim(coding->value), "identity"))
    return error(Errc::unsupported,
                 "%s takes its credential in a body of JSON, and this one is compressed",
                 to.c_str());
  if (length.kind == BodyLength::Kind::counted && length.bytes > largest_body) return too_large();
  return std::unique_ptr<JsonBody>(new JsonBody(injector, scheme, host, head, gathered));
}

JsonBody::~JsonBody() {
  gathered_ -= body_.size();
  wipe(body_);
  wipe(sent_);
}

Result<void> JsonBody::gather(std::string_view bytes) {
  if (body_.size() + bytes.size() > largest_body) return too_large();
  if (gathered_ + bytes.size() > all_bodies)
    return error(Errc::full, "too many bodies wait to have a credential put into them; try again");
  body_ += bytes;
  gathered_ += bytes.size();
  return {};
}

void JsonBody::check(std::function<void(const Result<void>&)> done) {
  if (body_.empty()) return done({});  // of a request that did not know its length before
  auto shown = injector_.fill_body(host_, target_, body_, Injector::Fill::shown, nullptr);
  if (!shown)
    return done(shown.error().in("the body of the request takes no credential of " + host_ + "'s"));
  shown_ = std::move(*shown);
  done({});
}

std::shared_ptr<const ScrubPatterns> JsonBody::secrets() const {
  return injector_.patterns();
}

Result<RequestSigning::Applied> JsonBody::sign(RequestHead& head) {
  Injector::Applied rest = injector_.apply(scheme_, host_, head.headers, head.path);
  Applied applied{std::move(rest.labels), std::move(rest.stripped)};
  if (body_.empty()) return applied;
  Injector::Applied in_body;
  auto filled = injector_.fill_body(host_, target_, body_, Injector::Fill::sent, &in_body);
  if (!filled) return filled.error();
  wipe(sent_);
  sent_ = std::move(*filled);
  for (auto& label : in_body.labels)
    if (std::find(applied.labels.begin(), applied.labels.end(), label) == applied.labels.end())
      applied.labels.push_back(std::move(label));
  for (auto& member : in_body.stripped) applied.stripped.push_back(std::move(member));
  set(head.headers, "Content-Length", std::to_string(sent_.size()));
  return applied;
}

std::string JsonBody::take_body() {
  return std::exchange(sent_, {});
}

}  // namespace moat::proxy
