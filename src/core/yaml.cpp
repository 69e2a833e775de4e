#include "core/yaml.h"

#include <yaml.h>

#include <optional>
#include <unordered_set>

#include "core/handle.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t max_bytes = 1024 * 1024;
constexpr size_t max_nodes = 20'000;
constexpr int max_depth = 32;

void parser_init(yaml_parser_t* parser) {
  if (yaml_parser_initialize(parser) == 0) throw std::bad_alloc();
}
void event_init(yaml_event_t* event) {
  *event = yaml_event_t{};
}

using Parser = InPlace<yaml_parser_t, parser_init, yaml_parser_delete>;
using Event = InPlace<yaml_event_t, event_init, yaml_event_delete>;

std::string_view text_of(const yaml_char_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// From libyaml's events to a tree. The first failure ends it: the methods are false from then on.
class Builder {
 public:
  Builder(std::string_view text, const std::string& name) : name_(name) {
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }

  Result<Yaml> build() {
    Yaml root;
    root.line = root.column = 1;
    if (document(root)) return root;
    return *failure_;
  }

 private:
  bool fail(const yaml_mark_t& mark, const std::string& why) {
    failure_ = error(Errc::invalid, "%s:%zu:%zu: %s", name_.c_str(), mark.line + 1, mark.column + 1,
                     why.c_str());
    return false;
  }

  bool next(Event& event) {
    yaml_event_delete(&event);
    if (yaml_parser_parse(&parser_, &event) != 0) return true;
    if (parser_.error == YAML_MEMORY_ERROR) return fail(parser_.mark, "out of memory");
    const char* problem = parser_.problem != nullptr ? parser_.problem : "not YAML";
    // The reader, which checks the encoding, leaves no mark of its own.
    const bool marked = parser_.error != YAML_READER_ERROR;
    return fail(marked ? parser_.problem_mark : parser_.mark, problem);
  }

  bool document(Yaml& root) {
    Event event;
    if (!next(event) || !next(event)) return false;  // the stream's start, then the document's
    if (event.type == YAML_STREAM_END_EVENT) return true;
    if (event.data.document_start.tag_directives.start !=
        event.data.document_start.tag_directives.end)
      return fail(event.start_mark, "tags are not supported; remove the %TAG line");
    if (!next(event) || !node(event, root, 0)) return false;
    if (!next(event) || !next(event)) return false;  // the document's end, then the stream's
    if (event.type != YAML_STREAM_END_EVENT)
      return fail(event.start_mark, "a second document; a file holds one");
    return true;
  }

  // Fills `out` from the event that starts it and those that follow.
  bool node(Event& event, Yaml& out, int depth) {
    const yaml_mark_t mark = event.start_mark;
    if (++nodes_ > max_nodes) return fail(mark, format("more than %zu values", max_nodes));
    out.line = static_cast<int>(mark.line) + 1;
    out.column = static_cast<int>(mark.column) + 1;
    switch (event.type) {
      case YAML_SCALAR_EVENT:
        return scalar(event, out);
      case YAML_SEQUENCE_START_EVENT:
        return plain(mark, event.data.sequence_start.anchor, event.data.sequence_start.tag) &&
               shallow(mark, depth) && sequence(event, out, depth + 1);
      case YAML_MAPPING_START_EVENT:
        return plain(mark, event.data.mapping_start.anchor, event.data.mapping_start.tag) &&
               shallow(mark, depth) && mapping(event, out, depth + 1);
      case YAML_ALIAS_EVENT:
        return fail(mark, "aliases are not supported; repeat the value");
      default:
        return fail(mark, "a value was expected");
    }
  }

  bool shallow(const yaml_mark_t& mark, int depth) {
    return depth < max_depth || fail(mark, format("nested more than %d levels deep", max_depth));
  }

  bool plain(const yaml_mark_t& mark, const yaml_char_t* anchor, const yaml_char_t* tag) {
    if (anchor != nullptr) return fail(mark, "anchors are not supported; repeat the value");
    if (tag != nullptr) return fail(mark, "tags are not supported; remove it");
    return true;
  }

  bool scalar(const Event& event, Yaml& out) {
    const auto& data = event.data.scalar;
    if (!plain(event.start_mark, data.anchor, data.tag)) return false;
    out.quoted = data.style != YAML_PLAIN_SCALAR_STYLE;
    out.scalar = text_of(data.value, data.length);
    if (out.scalar.find('\0') != std::string::npos)
      return fail(event.start_mark, "a NUL character, which no value may hold");
    const std::string& word = out.scalar;
    const bool null = !out.quoted && (word.empty() || word == "~" || word == "null" ||
                                      word == "Null" || word == "NULL");
    out.kind = null ? Yaml::Kind::null : Yaml::Kind::scalar;
    return true;
  }

  bool sequence(Event& event, Yaml& out, int depth) {
    out.kind = Yaml::Kind::sequence;
    for (;;) {
      if (!next(event)) return false;
      if (event.type == YAML_SEQUENCE_END_EVENT) return true;
      if (!node(event, out.items.emplace_back(), depth)) return false;
    }
  }

  bool mapping(Event& event, Yaml& out, int depth) {
    out.kind = Yaml::Kind::mapping;
    std::unordered_set<std::string> seen;
    for (;;) {
      if (!next(event)) return false;
      if (event.type == YAML_MAPPING_END_EVENT) return true;
      const yaml_mark_t mark = event.start_mark;
      if (event.type != YAML_SCALAR_EVENT && event.type != YAML_ALIAS_EVENT)
        return fail(mark, "a key must be a word, not a list or a mapping");
      Yaml key;
      if (!node(event, key, depth)) return false;
      if (!key.quoted && key.scalar == "<<")
        return fail(mark, "merge keys (<<) are not supported; repeat the values");
      if (!seen.insert(key.scalar).second)
        return fail(mark, "the key '" + printable(key.scalar.substr(0, 64)) + "' is there twice");
      out.key_lines.push_back(key.line);
      out.key_columns.push_back(key.column);
      out.members.emplace_back(std::move(key.scalar), Yaml{});
      if (!next(event) || !node(event, out.members.back().second, depth)) return false;
    }
  }

  const std::string& name_;
  Parser parser_;
  size_t nodes_ = 0;
  std::optional<Error> failure_;
};

}  // namespace

Yaml::Yaml() = default;
Yaml::Yaml(const Yaml&) = default;
Yaml::Yaml(Yaml&&) noexcept = default;
Yaml& Yaml::operator=(const Yaml&) = default;
Yaml& Yaml::operator=(Yaml&&) noexcept = default;
Yaml::~Yaml() = default;

const Yaml* Yaml::find(std::string_view key) const {
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

Result<Yaml> Yaml::parse(std::string_view text, const std::string& name) {
  if (text.size() > max_bytes)
    return error(Errc::too_large, "%s: larger than %zu bytes", name.c_str(), max_bytes);
  return Builder(text, name).build();
}

}  // namespace moat
