#include "proxy/json_members.h"

#include <algorithm>
#include <utility>

#include "core/json.h"
#include "core/json_write.h"
#include "core/secret.h"
#include "core/text.h"

namespace moat::proxy {
namespace {

struct Span {
  size_t begin = 0;
  size_t end = 0;
  [[nodiscard]] std::string_view of(std::string_view text) const {
    return text.substr(begin, end - begin);
  }
};

struct Member {
  std::string name;
  Span value;
};

// A string's span with its quotes, as what it says.
std::string said(std::string_view quoted) {
  if (quoted.find('\\') == std::string_view::npos)
    return std::string(quoted.substr(1, quoted.size() - 2));
  auto parsed = Json::parse(quoted);
  if (!parsed) return "";  // of a text that was parsed before: not possible
  std::string out = parsed->view().string();
  parsed->wipe();
  return out;
}

// Where things are in a text that was found to be JSON.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  [[nodiscard]] size_t after_space(size_t at) const {
    return std::min(text_.find_first_not_of(" \t\r\n", at), text_.size());
  }
  [[nodiscard]] char at(size_t place) const { return place < text_.size() ? text_[place] : '\0'; }

  // The whole value that begins at `begin`.
  [[nodiscard]] Span value(size_t begin) const {
    size_t at = begin;
    for (size_t depth = 0; at < text_.size();) {
      const char c = text_[at];
      if (c == '"') {
        at = after_string(at);
      } else if (c == '{' || c == '[') {
        ++depth;
        ++at;
        continue;
      } else if (c == '}' || c == ']') {
        --depth;
        ++at;
      } else if (depth > 0) {
        ++at;
        continue;
      } else {
        at = std::min(text_.find_first_of(" \t\r\n,]}", at), text_.size());
      }
      if (depth == 0) break;
    }
    return {begin, at};
  }

  [[nodiscard]] std::vector<Member> members(size_t object) const {
    std::vector<Member> out;
    size_t at = after_space(object + 1);
    while (at < text_.size() && text_[at] == '"') {
      const size_t name_end = after_string(at);
      const Span name{at, name_end};
      const Span held = value(after_space(after_space(name_end) + 1));
      out.push_back({said(name.of(text_)), held});
      at = after_space(held.end);
      if (this->at(at) == ',') at = after_space(at + 1);
    }
    return out;
  }

  [[nodiscard]] std::vector<Span> elements(size_t array) const {
    std::vector<Span> out;
    size_t at = after_space(array + 1);
    while (at < text_.size() && text_[at] != ']') {
      out.push_back(value(at));
      at = after_space(out.back().end);
      if (this->at(at) == ',') at = after_space(at + 1);
    }
    return out;
  }

 private:
  [[nodiscard]] size_t after_string(size_t quote) const {
    for (size_t at = quote + 1; at < text_.size(); ++at) {
      if (text_[at] == '\\') {
        ++at;
      } else if (text_[at] == '"') {
        return at + 1;
      }
    }
    return text_.size();
  }

  std::string_view text_;
};

std::string path_text(const JsonPath& path, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += (i > 0 ? "." : "") + path[i];
  return out;
}

Error not_a(const char* kind, const JsonPath& path, size_t count) {
  return error(Errc::invalid, "the member %s of the JSON is not %s", path_text(path, count).c_str(),
               kind);
}

// Of the members that a reader might take for `name` the one; nullptr where there is none.
Result<const Member*> the_one(const std::vector<Member>& members, const JsonPath& path, size_t i) {
  const Member* found = nullptr;
  for (const Member& member : members) {
    if (!equals_ignoring_case(member.name, path[i])) continue;
    // Some readers take names without regard to case, and the last of several.
    if (found != nullptr || member.name != path[i])
      return error(Errc::invalid, "the JSON has another spelling of the member %s",
                   path_text(path, i + 1).c_str());
    found = &member;
  }
  return found;
}

std::string in_quotes(std::string_view text) {
  std::string out;
  out.reserve(2 + 6 * text.size());  // so that growing leaves no copy
  out += '"';
  append_json_escaped(out, text);
  out += '"';
  return out;
}

struct Change {
  Span span;
  std::string text;
};

// `changes` in their order, none within another.
std::string changed(std::string_view text, std::vector<Change>& changes) {
  size_t size = text.size();
  for (const Change& change : changes) size += change.text.size();
  std::string out;
  out.reserve(size);
  size_t at = 0;
  for (Change& change : changes) {
    out.append(text.substr(at, change.span.begin - at)).append(change.text);
    wipe(change.text);
    at = change.span.end;
  }
  out.append(text.substr(at));
  return out;
}

// Whether it is an object, and JSON at all.
Result<void> check_object(std::string_view text) {
  auto parsed = Json::parse(text);
  if (!parsed) return parsed.error();
  const bool object = parsed->view().is_object();
  parsed->wipe();
  if (!object) return error(Errc::invalid, "the JSON is not an object");
  return {};
}

class Finder {
 public:
  Finder(std::string_view text, const JsonStringFn& fn) : text_(text), reader_(text), fn_(fn) {}
  ~Finder() {
    for (Change& change : changes_) wipe(change.text);
  }
  Finder(const Finder&) = delete;
  Finder& operator=(const Finder&) = delete;

  Result<void> follow(Span value, const JsonPath& path, size_t depth) {
    const char first = reader_.at(value.begin);
    if (first == '[') {
      for (const Span& element : reader_.elements(value.begin))
        if (auto followed = follow(element, path, depth); !followed) return followed;
      return {};
    }
    if (depth == path.size()) return take(value, path);
    if (first != '{') return {};
    for (const Member& member : reader_.members(value.begin)) {
      if (member.name != path[depth]) continue;
      if (auto followed = follow(member.value, path, depth + 1); !followed) return followed;
    }
    return {};
  }

  std::string result() {
    std::sort(changes_.begin(), changes_.end(),
              [](const Change& a, const Change& b) { return a.span.begin < b.span.begin; });
    return changed(text_, changes_);
  }

 private:
  Result<void> take(Span value, const JsonPath& path) {
    const std::string_view text = value.of(text_);
    if (text == "null") return {};
    if (text.front() != '"') return not_a("a string", path, path.size());
    const bool had = std::any_of(changes_.begin(), changes_.end(), [&](const Change& change) {
      return change.span.begin == value.begin;
    });
    if (had) return {};
    std::string old = said(text);
    auto made = fn_(old);
    wipe(old);
    if (!made) return made.error();
    changes_.push_back({value, in_quotes(*made)});
    wipe(*made);
    return {};
  }

  std::string_view text_;
  Reader reader_;
  const JsonStringFn& fn_;
  std::vector<Change> changes_;
};

}  // namespace

Result<std::string> put_json_string(std::string_view text, const JsonPath& path,
                                    std::string_view value, bool* had) {
  if (had != nullptr) *had = false;
  if (auto checked = check_object(text); !checked) return checked.error();
  const Reader reader(text);
  size_t object = reader.after_space(0);
  std::vector<Change> changes;
  for (size_t i = 0; i < path.size(); ++i) {
    const auto members = reader.members(object);
    const auto found = the_one(members, path, i);
    if (!found) return found.error();
    const bool last = i + 1 == path.size();
    if (*found == nullptr) {
      std::string made = in_quotes(value);
      for (size_t k = path.size(); k-- > i;) {
        const std::string name = in_quotes(path[k]);
        std::string outer;
        outer.reserve(name.size() + made.size() + 3);
        if (k > i) outer += '{';
        outer += name;
        outer += ':';
        outer += made;
        if (k > i) outer += '}';
        wipe(made);
        made = std::move(outer);
      }
      if (!members.empty()) made += ',';
      changes.push_back({{object + 1, object + 1}, std::move(made)});
      break;
    }
    const Span span = (*found)->value;
    if (last && reader.at(span.begin) != '"') return not_a("a string", path, i + 1);
    if (!last && reader.at(span.begin) != '{') return not_a("an object", path, i + 1);
    if (last) {
      if (had != nullptr) *had = true;
      changes.push_back({span, in_quotes(value)});
    }
    object = span.begin;
  }
  return changed(text, changes);
}

Result<std::string> replace_json_strings(std::string_view text, const std::vector<JsonPath>& paths,
                                         const JsonStringFn& fn) {
  if (auto checked = check_object(text); !checked) return checked.error();
  Finder finder(text, fn);
  const Span whole{Reader(text).after_space(0), text.size()};
  for (const JsonPath& path : paths)
    if (auto followed = finder.follow(whole, path, 0); !followed) return followed.error();
  return finder.result();
}

}  // namespace moat::proxy
