#include "proxy/injection.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "proxy/injected_target.h"
#include "proxy/policy.h"

namespace moat::proxy {
namespace {

constexpr size_t most_former = 16;

bool is_for(const std::vector<std::string>& patterns, std::string_view host) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [host](const std::string& pattern) { return host_matches(pattern, host); });
}

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

bool is_at(const std::vector<std::string>& paths, std::string_view target) {
  return paths.empty() || std::any_of(paths.begin(), paths.end(), [target](const auto& lead) {
           return may_begin_with(target, lead);
         });
}

bool holds(const ScrubPatterns& patterns, const Headers& headers) {
  return std::any_of(headers.begin(), headers.end(), [&patterns](const Header& header) {
    return !patterns.clean(header.value) || !patterns.clean(header.name);
  });
}

std::string member_text(const JsonPath& path) {
  std::string out;
  for (const std::string& name : path) out += (out.empty() ? "" : ".") + name;
  return out;
}

// "Basic dXNlcjp0b2tlbg==": what stands after the scheme may come back by itself too.
std::string_view bare_value(const Injection& injection) {
  const std::string_view value = injection.value.reveal();
  const size_t space = value.find(' ');
  std::string_view bare = space == std::string_view::npos ? value : value.substr(space + 1);
  while (bare.ends_with('=')) bare.remove_suffix(1);  // who writes base64url leaves it away
  return bare;
}

}  // namespace

Injector::Injector(std::vector<Injection> injections, std::vector<std::string> credential_headers,
                   std::vector<Placeholder> placeholders)
    : injections_(std::move(injections)), credential_headers_(std::move(credential_headers)) {
  for (const Injection& injection : injections_) {
    if (injection.place != Injection::Place::header) {
      beyond_headers_ = beyond_headers_ || injection.place == Injection::Place::query ||
                        injection.place == Injection::Place::path;
      continue;
    }
    const bool known = std::any_of(credential_headers_.begin(), credential_headers_.end(),
                                   [&injection](const std::string& name) {
                                     return equals_ignoring_case(name, injection.header);
                                   });
    if (!known) credential_headers_.push_back(injection.header);
  }
  for (Placeholder& placeholder : placeholders) {
    beyond_headers_ = true;
    any_.add(placeholder.text);
    Known known{std::move(placeholder), {}};
    known.patterns.add(known.placeholder.text);
    placeholders_.push_back(std::move(known));
  }
  make_patterns();
}

std::shared_ptr<ScrubPatterns> Injector::all_patterns() const {
  auto patterns = std::make_shared<ScrubPatterns>();
  for (const Injection& injection : injections_) {
    if (injection.secret.empty()) continue;
    patterns->add(injection.secret.reveal());
    const std::string_view bare = bare_value(injection);
    if (bare != injection.secret.reveal()) patterns->add(bare);
  }
  patterns->add(former_);
  return patterns;
}

std::shared_ptr<const ScrubPatterns> Injector::patterns_with(
    const std::vector<Secret>& secrets) const {
  auto patterns = all_patterns();
  patterns->add(secrets);
  return patterns;
}

void Injector::replace(const std::vector<Injection>& fresh) {
  for (const Injection& next : fresh) {
    for (Injection& injection : injections_) {
      if (injection.label != next.label || injection.host != next.host ||
          injection.place != next.place || injection.secret.empty() ||
          injection.members != next.members || !equals_ignoring_case(injection.header, next.header))
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

Injector::Applied Injector::apply(std::string_view scheme, std::string_view host, Headers& headers,
                                  std::string& path) const {
  Applied applied;
  if (!has_injection(host)) return applied;
  const bool secure = scheme == "https";
  apply_headers(secure, host, headers, applied);
  if (beyond_headers_) apply_target(secure, host, path, applied);
  if (!applied.labels.empty()) applied.scrub = patterns_;
  return applied;
}

void Injector::apply_headers(bool secure, std::string_view host, Headers& headers,
                             Applied& applied) const {
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
  if (!secure) return;
  for (const Injection& injection : injections_) {
    if (injection.place != Injection::Place::header) continue;
    // The first of several for one header counts.
    if (!host_matches(injection.host, host) || find(headers, injection.header) != nullptr) continue;
    headers.insert(headers.begin() + static_cast<std::ptrdiff_t>(place),
                   Header{injection.header, std::string(injection.value.reveal())});
    place++;
    add_once(applied.labels, injection.label);
  }
}

// Placeholders of this host's, where a program puts its credential into a URL: the real one goes as
// the injections have it, and this must not stand in its way.
void Injector::clean_query(std::string_view host, std::string& path, Applied& applied) const {
  if (path.find('?') == std::string::npos || any_.clean(path)) return;
  for (const Known& known : placeholders_) {
    if (!is_for(known.placeholder.hosts, host)) continue;
    remove_parameters(path, [&](std::string_view name, std::string_view value) {
      if (value.find(known.placeholder.text) == std::string_view::npos) return false;
      add_once(applied.stripped, "?" + std::string(name));
      return true;
    });
  }
}

void Injector::apply_target(bool secure, std::string_view host, std::string& path,
                            Applied& applied) const {
  clean_query(host, path, applied);
  std::vector<const std::string*> filled;  // the first of several for one place counts
  for (const Injection& injection : injections_) {
    const bool in_target =
        injection.place == Injection::Place::query || injection.place == Injection::Place::path;
    if (!in_target || !host_matches(injection.host, host)) continue;
    const std::string& name = injection.header;
    const bool taken =
        std::any_of(filled.begin(), filled.end(), [&](const auto* had) { return *had == name; });
    if (taken) continue;
    filled.push_back(&name);
    if (injection.place == Injection::Place::query) {
      const size_t removed = remove_parameters(
          path, [&](std::string_view other, std::string_view) { return other == name; });
      if (removed > 0) add_once(applied.stripped, "?" + name);
      if (!secure || injection.value.empty()) continue;
      append_parameter(path, name, injection.value.reveal());
      add_once(applied.labels, injection.label);
      continue;
    }
    const Segment segment =
        replace_segment(path, name, secure ? injection.value.reveal() : std::string_view());
    if (segment == Segment::replaced) add_once(applied.stripped, name);
    if (secure && segment != Segment::none) add_once(applied.labels, injection.label);
  }
}

bool Injector::wants_body(std::string_view host, std::string_view target) const {
  return std::any_of(injections_.begin(), injections_.end(), [&](const Injection& injection) {
    return injection.place == Injection::Place::json && host_matches(injection.host, host) &&
           is_at(injection.paths, target);
  });
}

Result<std::string> Injector::fill_body(std::string_view host, std::string_view target,
                                        std::string_view body, Fill fill, Applied* applied) const {
  constexpr std::string_view redacted = "[redacted]";
  std::string out(body);
  std::vector<const JsonPath*> filled;  // the first of several for one member counts
  for (const Injection& injection : injections_) {
    if (injection.place != Injection::Place::json || !host_matches(injection.host, host)) continue;
    const bool taken = std::any_of(filled.begin(), filled.end(), [&](const JsonPath* path) {
      return *path == injection.members;
    });
    if (taken || !is_at(injection.paths, target)) continue;
    filled.push_back(&injection.members);
    bool had = false;
    auto put = put_json_string(out, injection.members,
                               fill == Fill::sent ? injection.value.reveal() : redacted, &had);
    if (!put) {
      wipe(out);
      return put.error();
    }
    // Where none was, the record has the agent's body as it came.
    if (had || fill == Fill::sent) {
      wipe(out);
      out = std::move(*put);
    }
    if (applied == nullptr) continue;
    add_once(applied->labels, injection.label);
    if (had) add_once(applied->stripped, "." + member_text(injection.members));
  }
  return out;
}

std::vector<std::string> Injector::strip(Headers& headers) const {
  std::vector<std::string> removed;
  for (const std::string& name : credential_headers_) {
    if (const Header* found = find(headers, name)) {
      removed.push_back(found->name);
      remove_all(headers, name);
    }
  }
  return removed;
}

template <class Has>
const std::string* Injector::strayed_by(std::string_view host, Has has) const {
  const bool all_at_home =
      std::all_of(placeholders_.begin(), placeholders_.end(),
                  [host](const Known& known) { return is_for(known.placeholder.hosts, host); });
  if (all_at_home) return nullptr;  // as where there are none
  if (!has(any_)) return nullptr;
  for (const Known& known : placeholders_) {
    if (!is_for(known.placeholder.hosts, host) && has(known.patterns))
      return &known.placeholder.label;
  }
  return nullptr;
}

const std::string* Injector::strayed(std::string_view host, const RequestHead& head) const {
  return strayed_by(host, [&head](const ScrubPatterns& patterns) {
    return !patterns.clean(head.path) || !patterns.clean(head.authority) ||
           holds(patterns, head.headers);
  });
}

const std::string* Injector::strayed(std::string_view host, const Headers& trailers) const {
  return strayed_by(
      host, [&trailers](const ScrubPatterns& patterns) { return holds(patterns, trailers); });
}

}  // namespace moat::proxy
