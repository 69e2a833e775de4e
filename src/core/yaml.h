// A YAML tree that remembers where each node stood, over libyaml. Hostile input: size, depth and
// node count are limited, aliases, tags, duplicate keys and several documents are refused.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace moat {

struct Yaml {
  enum class Kind { null, scalar, sequence, mapping };

  // Not inline: a member here is a pair with a Yaml, which must be complete first.
  Yaml();
  Yaml(const Yaml&);
  Yaml(Yaml&&) noexcept;
  Yaml& operator=(const Yaml&);
  Yaml& operator=(Yaml&&) noexcept;
  ~Yaml();

  Kind kind = Kind::null;
  bool quoted = false;  // a scalar in quotes is text, whatever it looks like
  std::string scalar;
  std::vector<Yaml> items;                            // of a sequence
  std::vector<std::pair<std::string, Yaml>> members;  // of a mapping, in order
  std::vector<int> key_lines;                         // line of each member's key
  std::vector<int> key_columns;                       // its column
  int line = 0;                                       // from 1
  int column = 0;                                     // from 1

  [[nodiscard]] const Yaml* find(std::string_view key) const;  // nullptr when absent

  // At most 1 MiB, 32 levels, 20,000 nodes. `name` is what errors call the file:
  // "agent.yaml:3:7: did not find expected key".
  static Result<Yaml> parse(std::string_view text, const std::string& name);
};

}  // namespace moat
