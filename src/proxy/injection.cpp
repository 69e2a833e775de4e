#include "proxy/injection.h"

#include <algorithm>

#include "core/text.h"
#include "proxy/policy.h"

namespace moat::proxy {

namespace {

constexpr size_t most_former = 16;

// "Basic dXNlcjp0b2tlbg==": what stands after the scheme may come back by itself too.
std::string_view bare_value(const Injection& injection) {
  const std::string_view value = injection.value.reveal();
  const size_t space = value.find(' ');
  std::string_view bare = space == std::string_view::npos ? value : value.substr(space + 1);
  while (bare.ends_with('=')) bare.remove_suffix(1);  // who writes base64url leaves it away
  return bare;
}

}  // namespace

Injector::Injector(std::vector<Injection> injections, std::vector<std::string> credential_headers)
    : injections_(std::move(injections)), credential_headers_(std::move(credential_headers)) {
  for (const Injection& injection : injections_) {
    const bool known = std::any_of(credential_headers_.begin(), credential_headers_.end(),
                                   [&injection](const std::string& name) {
                                     return equals_ignoring_case(name, injection.header);
                                   });
    if (!known) credential_headers_.push_back(injection.header);
  }
  make_patterns();
}

void Injector::make_patterns() {
  auto patterns = std::make_shared<ScrubPatterns>();
  for (const Injection& injection : injections_) {
    patterns->add(injection.secret.reveal());
    const std::string_view bare = bare_value(injection);
    if (bare != injection.secret.reveal()) patterns->add(bare);
  }
  patterns->add(former_);
  patterns_ = std::move(patterns);
}

void Injector::replace(const std::vector<Injection>& fresh) {
  for (const Injection& next : fresh) {
    for (Injection& injection : injections_) {
      if (injection.label != next.label || injection.host != next.host ||
          !equals_ignoring_case(injection.header, next.header))
        continue;
      const auto retire = [this](std::string_view secret) {
        const bool had = std::any_of(former_.begin(), former_.end(),
                                     [&](const Secret& former) { return former.equals(secret); });
        if (!had) former_.emplace_back(secret);
      };
      retire(injection.secret.reveal());
      retire(bare_value(injection));
      injection.value = next.value.clone();
      injection.secret = next.secret.clone();
    }
  }
  if (former_.size() > most_former)
    former_.erase(former_.begin(), former_.end() - static_cast<std::ptrdiff_t>(most_former));
  make_patterns();
}

bool Injector::has_injection(std::string_view host) const {
  return std::any_of(injections_.begin(), injections_.end(), [host](const Injection& injection) {
    return host_matches(injection.host, host);
  });
}

Injector::Applied Injector::apply(std::string_view scheme, std::string_view host,
                                  Headers& headers) const {
  Applied applied;
  if (!has_injection(host)) return applied;
  // Where a removed header stood, for the order of headers is a fingerprint that some origins read.
  size_t place = headers.size();
  for (const std::string& name : credential_headers_) {
    const auto found = std::find_if(headers.begin(), headers.end(), [&name](const Header& header) {
      return equals_ignoring_case(header.name, name);
    });
    if (found == headers.end()) continue;
    place = std::min(place, static_cast<size_t>(found - headers.begin()));
    applied.stripped.push_back(found->name);
    remove_all(headers, name);
  }
  place = std::min(place, headers.size());
  if (scheme != "https") return applied;
  for (const Injection& injection : injections_) {
    // The first of several for one header counts.
    if (!host_matches(injection.host, host) || find(headers, injection.header) != nullptr) continue;
    headers.insert(headers.begin() + static_cast<std::ptrdiff_t>(place),
                   Header{injection.header, std::string(injection.value.reveal())});
    place++;
    applied.labels.push_back(injection.label);
  }
  if (!applied.labels.empty()) applied.scrub = patterns_;
  return applied;
}

}  // namespace moat::proxy
