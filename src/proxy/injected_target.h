// A credential in the target of a request: a parameter of its query, or a segment of its path. Pure
// functions.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace moat::proxy {

// Removes the parameters for which `unwanted(name, value)` is true, both percent-decoded; how many.
// What separates them may be '&' or ';', or the '#' of a fragment, which no origin should be sent.
// A '?' that is left with nothing behind it goes as well.
size_t remove_parameters(std::string& target,
                         const std::function<bool(std::string_view, std::string_view)>& unwanted);
// Both as they are to be sent.
void append_parameter(std::string& target, std::string_view name, std::string_view value);

enum class Segment {
  none,      // the path does not begin so: nothing was done
  filled,    // nothing stood there
  replaced,  // what stood there is gone
};
// Where the path begins with `lead` ("/bot"), what follows until the next '/' becomes `value`. An
// escape that an origin would decode is seen through, and where a careless one might see `lead` by
// other tricks (dot segments, doubled slashes), the whole path becomes `lead` and `value`: nobody's
// foreign credential gets there that way.
Segment replace_segment(std::string& target, std::string_view lead, std::string_view value);

// Might an origin, careful or careless and whatever it makes of capitals, see a path that begins
// with the segments of `lead`?
bool may_begin_with(std::string_view target, std::string_view lead);

// Everything but unreserved characters (RFC 3986 2.3) and those of `also` as %XX.
std::string percent_encoded(std::string_view text, std::string_view also = {});

}  // namespace moat::proxy
