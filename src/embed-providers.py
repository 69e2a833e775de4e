"""Writes files of text as the C++ table of provider.h: embed-providers.py FILE... OUTPUT."""

import json
import pathlib
import sys

*sources, output = sys.argv[1:]
lines = ['#include "provider.h"', "", "namespace moat {", "",
         "const std::vector<BuiltInProvider> built_in_providers = {"]
for source in sorted(map(pathlib.Path, sources), key=lambda path: path.name):
    # Strings of C++, a line each: those of JSON are the same for printable ASCII.
    text = "\n".join("     " + json.dumps(line) for line in
                     source.read_text(encoding="ascii").splitlines(keepends=True))
    lines += ['    {"%s",' % source.name, text + "},"]
lines += ["};", "", "}  // namespace moat", ""]
pathlib.Path(output).write_text("\n".join(lines), encoding="ascii")
