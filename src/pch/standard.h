// What nearly every file includes, parsed once for each library (meson's b_pch). Only headers of
// the language, and a file still includes what it uses: most builds do without this one.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
