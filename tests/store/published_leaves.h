// The leaves that the tests of Certificate Transparency's own logs use, in hexadecimal.
#pragma once

namespace moat::test {

inline constexpr const char* published_leaves[] = {
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
};

}  // namespace moat::test
